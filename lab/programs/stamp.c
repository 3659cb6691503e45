/* Write stamps over a disk, for as long as the machine lives.
 *
 *   stamp DEVICE BLOCKS PAUSE_MICROSECONDS
 *
 * Write i (from 1 on) fills the 4 KiB block mix(i) % BLOCKS with the words i*512, i*512+1, ...
 * Writes go around the page cache, one at a time. So an image of the disk is as of one
 * instant exactly if every block holds the last write up to the largest stamp in it.
 * Every thousand writes it says how long they took.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, WORDS = BLOCK / 8, TOLD = 1000 };

/* The finaliser of SplitMix64: public domain arithmetic that spreads consecutive numbers evenly. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint32_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

static int compare(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static void tell(uint64_t number, uint32_t *took)
{
    qsort(took, TOLD, sizeof *took, compare);
    printf("guest: stamped %llu, median %u us, p99 %u us, longest %u us\n", (unsigned long long)number,
           took[TOLD / 2], took[TOLD * 99 / 100], took[TOLD - 1]);
    fflush(stdout);
}

int main(int count, char **words)
{
    static uint64_t block[WORDS] __attribute__((aligned(BLOCK)));
    static uint32_t took[TOLD];
    if (count != 4) {
        fprintf(stderr, "usage: stamp DEVICE BLOCKS PAUSE_MICROSECONDS\n");
        return 2;
    }
    uint64_t blocks = strtoull(words[2], 0, 10);
    useconds_t pause = strtoul(words[3], 0, 10);
    int disk = open(words[1], O_WRONLY | O_DIRECT);
    if (disk < 0 || !blocks) {
        perror(words[1]);
        return 1;
    }
    for (uint64_t number = 1;; number++) {
        for (int word = 0; word < WORDS; word++)
            block[word] = number * WORDS + word;
        uint32_t begun = now_us();
        if (pwrite(disk, block, BLOCK, mix(number) % blocks * BLOCK) != BLOCK) {
            perror("write");
            return 1;
        }
        took[number % TOLD] = now_us() - begun;
        if (number == 1) {
            printf("guest: stamped 1\n");
            fflush(stdout);
        }
        if (number % TOLD == 0)
            tell(number, took);
        if (pause)
            usleep(pause);
    }
}
