/* Keep a ledger on several disks, for as long as the machine lives, and in its next life go on with it.
 *
 *   ledger NAME RECORDS_A_SECOND WRITES_A_RECORD SLOTS LINK DEVICE...
 *
 * Record n goes to disk (n-1) % disks and is flushed before record n+1 is begun. It names itself, the
 * record before it by its checksum, the time, this life of the machine, and the newest record that was
 * heard of from each other machine on the network. WRITES_A_RECORD writes of 4 KiB, scattered over the
 * rest of the disks and not flushed, go before each record. LINK is a network card, or - for none.
 *
 * Disks in blocks of 4096 bytes, numbers little-endian: block 0 is the title, then a ring of SLOTS
 * records, then scattered blocks, as many as the largest power of two that fits. A ledger exists when disk
 * 0 has a title; the others get theirs before. lab/ledger.py reads all this and says whether it is right.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, WORDS = BLOCK / 8, DISKS = 8, PEERS = 8, TOLD = 1000, ETHERTYPE = 0x88B5 };
static const uint64_t TITLE = 0x303052454744454Cull, RECORD = 0x313052454744454Cull;
static const uint64_t SECOND = 1000000000, TELL_EVERY = 200000000;

struct title {
    uint64_t magic, birth, slots, scattered, batch;
    uint32_t disks, disk;
    char name[32];
    uint8_t rest[BLOCK - 84];
    uint32_t checksum;
} __attribute__((packed));

struct heard {
    uint64_t birth, number;
} __attribute__((packed));

struct record {
    uint64_t magic, birth, number, time_ns, writes;
    uint32_t life, disk, previous, peers;
    struct heard peer[PEERS];
    uint8_t filling[BLOCK - 188];
    uint32_t checksum;
} __attribute__((packed));

struct frame {
    uint8_t to[6], from[6];
    uint16_t type;
    struct heard said;
    uint8_t padding[30];
} __attribute__((packed));

_Static_assert(sizeof(struct title) == BLOCK && sizeof(struct record) == BLOCK, "a block each");

static struct title title __attribute__((aligned(BLOCK)));
static struct record record __attribute__((aligned(BLOCK)));
static uint64_t block[WORDS] __attribute__((aligned(BLOCK)));
static int disks[DISKS], disk_count, net = -1;
static uint32_t crc_table[256], took[TOLD];
static uint64_t took_count;
static struct sockaddr_ll everybody;
static volatile sig_atomic_t is_asked_to_end;

static void die(const char *what, uint64_t number)
{
    printf("ledger: BROKEN: %s (%llu)\n", what, (unsigned long long)number);
    fflush(stdout);
    exit(1);
}

static uint64_t clock_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static uint32_t crc(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint32_t sum = ~0u;
    while (length--)
        sum = crc_table[(sum ^ *bytes++) & 255] ^ sum >> 8;
    return ~sum;
}

static void make_crc_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
        crc_table[byte] = sum;
    }
}

/* Scatter 0..count-1, count a power of two, so that each comes once. */
static uint64_t scatter(uint64_t x, uint64_t count)
{
    int shift = (63 - __builtin_clzll(count)) / 2 + 1;
    for (int round = 0; round < 3; round++) {
        x = x * 0x9E3779B97F4A7C15u & (count - 1);
        x ^= x >> shift;
    }
    return x;
}

static int compare(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static void write_block(int disk, const void *data, uint64_t at)
{
    uint64_t begun = clock_ns(CLOCK_MONOTONIC);
    if (pwrite(disks[disk], data, BLOCK, at * BLOCK) != BLOCK)
        die("a write failed on disk", disk);
    took[took_count++ % TOLD] = (clock_ns(CLOCK_MONOTONIC) - begun) / 1000;
    if (took_count % TOLD)
        return;
    qsort(took, TOLD, sizeof *took, compare);
    printf("ledger: %d writes, median %u us, p99 %u us, longest %u us\n", TOLD, took[TOLD / 2],
           took[TOLD * 99 / 100], took[TOLD - 1]);
    fflush(stdout);
}

static void flush(int disk)
{
    if (fdatasync(disks[disk]))
        die("a flush failed on disk", disk);
}

static int read_title(int disk, struct title *into)
{
    if (pread(disks[disk], into, BLOCK, 0) != BLOCK)
        die("cannot read the title of disk", disk);
    return into->magic == TITLE && into->checksum == crc(into, BLOCK - 4) && into->disk == (uint32_t)disk;
}

static void begin_ledger(const char *name, uint64_t slots, uint64_t batch)
{
    off_t size = 1ll << 62;
    for (int disk = 0; disk < disk_count; disk++) {
        off_t end = lseek(disks[disk], 0, SEEK_END);
        size = end < size ? end : size;
    }
    int64_t rest = size / BLOCK - 1 - slots;
    if (rest < 0)
        die("a disk is too small for so many slots", slots);
    memset(&title, 0, sizeof title);
    title.magic = TITLE, title.slots = slots, title.disks = disk_count, title.batch = rest ? batch : 0;
    title.scattered = title.batch ? 1ull << (63 - __builtin_clzll(rest)) : 0;
    if (title.scattered * disk_count < title.batch * (disk_count + 1))
        die("a disk is too small for so many writes a record", batch);
    strncpy(title.name, name, sizeof title.name - 1);
    if (getrandom(&title.birth, sizeof title.birth, 0) != sizeof title.birth)
        die("no random number", 0);
    for (int disk = disk_count; disk--;) {
        title.disk = disk;
        title.checksum = crc(&title, BLOCK - 4);
        write_block(disk, &title, 0);
        flush(disk);
    }
}

static uint64_t place(uint64_t number)
{
    return 1 + (number - 1) / disk_count % title.slots;
}

static int read_record(uint64_t number)
{
    int disk = (number - 1) % disk_count;
    if (pread(disks[disk], &record, BLOCK, place(number) * BLOCK) != BLOCK)
        die("cannot read the place of record", number);
    return record.magic == RECORD && record.birth == title.birth && record.checksum == crc(&record, BLOCK - 4);
}

/* Find the newest record, see that all are there which the rings hold, and leave the newest in `record`. */
static void read_ledger(void)
{
    uint64_t last = 0, held = title.slots * disk_count;
    for (uint64_t at = 1; at <= held; at++)
        if (read_record(at) && record.number > last)
            last = record.number;
    uint64_t first = last > held ? last - held + 1 : 1;
    uint32_t previous = 0;
    for (uint64_t number = first; number <= last; number++) {
        if (!read_record(number) || record.number != number)
            die("missing or torn is record", number);
        if (number > first && record.previous != previous)
            die("of another history is record", number);
        previous = record.checksum;
    }
    if (!last)
        memset(&record, 0, sizeof record);
}

/* Broadcast frames of an ethertype that is free for experiments: no address is needed. */
static void join_network(const char *link)
{
    if (!strcmp(link, "-"))
        return;
    struct ifreq asked = {0};
    strncpy(asked.ifr_name, link, IFNAMSIZ - 1);
    net = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETHERTYPE));
    if (net < 0 || ioctl(net, SIOCGIFINDEX, &asked))
        die("no such network card", 0);
    everybody.sll_family = AF_PACKET, everybody.sll_protocol = htons(ETHERTYPE);
    everybody.sll_ifindex = asked.ifr_ifindex, everybody.sll_halen = 6;
    memset(everybody.sll_addr, 255, 6);
    if (bind(net, (struct sockaddr *)&everybody, sizeof everybody))
        die("cannot listen to the network", 0);
}

static void tell_peers(void)
{
    struct frame frame = {.type = htons(ETHERTYPE), .said = {title.birth, record.number}};
    memset(frame.to, 255, sizeof frame.to);
    frame.from[0] = 2;
    if (net >= 0) /* A frame that is lost, or a cable that hangs loose, is as if nobody had listened. */
        (void)!sendto(net, &frame, sizeof frame, 0, (struct sockaddr *)&everybody, sizeof everybody);
}

static void note(const struct heard *said)
{
    uint32_t peer = 0;
    while (peer < record.peers && record.peer[peer].birth != said->birth)
        peer++;
    if (peer == PEERS)
        return;
    record.peers += peer == record.peers;
    record.peer[peer] = *said;
}

static void hear_peers(void)
{
    struct frame frame;
    while (net >= 0 && recv(net, &frame, sizeof frame, 0) >= (ssize_t)offsetof(struct frame, padding))
        if (frame.said.birth != title.birth)
            note(&frame.said);
}

static void scattered_writes(uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        for (int word = 0; word < WORDS; word++)
            block[word] = number * WORDS + word;
        uint64_t at = scatter((number - 1) / disk_count & (title.scattered - 1), title.scattered);
        write_block((number - 1) % disk_count, block, 1 + title.slots + at);
    }
}

/* A power cut may have taken writes of a batch whose record is there: they were flushed with later records. */
static void repeat_batches(void)
{
    uint64_t doubtful = title.batch * disk_count;
    scattered_writes(record.writes > doubtful ? record.writes - doubtful + 1 : 1, record.writes);
    for (int disk = 0; disk < disk_count; disk++)
        flush(disk);
}

static void next_record(uint32_t life)
{
    record.magic = RECORD, record.birth = title.birth, record.life = life;
    record.number++;
    record.previous = record.checksum;
    record.disk = (record.number - 1) % disk_count;
    record.time_ns = clock_ns(CLOCK_REALTIME);
    for (size_t at = 0; at < sizeof record.filling; at++)
        record.filling[at] = (record.number + at) * 0x9E3779B97F4A7C15u >> 56;
    record.checksum = crc(&record, BLOCK - 4);
    write_block(record.disk, &record, place(record.number));
    flush(record.disk);
}

static void pause_until(uint64_t when)
{
    struct timespec then = {when / SECOND, when % SECOND};
    while (!is_asked_to_end && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, 0))
        ;
}

static void say(const char *what)
{
    printf("ledger: %s %llu\n", what, (unsigned long long)record.number);
    fflush(stdout);
}

static void ask_to_end(int signal)
{
    is_asked_to_end = signal;
}

static void keep_ledger(uint64_t period)
{
    uint64_t due = clock_ns(CLOCK_MONOTONIC), told = 0;
    uint32_t life = record.life + 1;
    record.peers = 0; /* What others said to an earlier life, they may have lost since. */
    printf("ledger: up at record %llu, life %u\n", (unsigned long long)record.number, life);
    fflush(stdout);
    while (!is_asked_to_end) {
        scattered_writes(record.writes + 1, record.writes + title.batch);
        record.writes += title.batch;
        hear_peers();
        next_record(life);
        tell_peers();
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now - told >= TELL_EVERY) {
            say("acknowledged");
            told = now;
        }
        due = due + period > now ? due + period : now; /* What was late is not made up for by a burst. */
        pause_until(due);
    }
    say("acknowledged");
    say("closed at record");
}

int main(int count, char **words)
{
    disk_count = count - 6;
    if (disk_count < 1 || disk_count > DISKS) {
        fprintf(stderr, "usage: ledger NAME RECORDS_A_SECOND WRITES_A_RECORD SLOTS LINK DEVICE...\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = ask_to_end};
    sigaction(SIGTERM, &action, 0);
    make_crc_table();
    for (int disk = 0; disk < disk_count; disk++)
        if ((disks[disk] = open(words[6 + disk], O_RDWR | O_DIRECT)) < 0)
            die("cannot open disk", disk);
    if (!read_title(0, &title)) {
        if (title.magic)
            die("something else is on disk", 0);
        begin_ledger(words[1], strtoull(words[4], 0, 10), strtoull(words[3], 0, 10));
    }
    static struct title other __attribute__((aligned(BLOCK)));
    for (int disk = disk_count; disk--;)
        if (!read_title(disk, &other) || other.birth != title.birth || other.disks != (uint32_t)disk_count)
            die("not of this ledger is disk", disk);
    join_network(words[5]);
    read_ledger();
    repeat_batches();
    keep_ledger(SECOND / strtoull(words[2], 0, 10));
    return 0;
}
