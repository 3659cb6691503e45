/* Write stamps over a disk, for as long as the machine lives.
 *
 *   stamp DEVICE BLOCKS PAUSE_MICROSECONDS
 *
 * Write i (from 1 on) fills the 4 KiB block mix(i) % BLOCKS with the words i*512, i*512+1, ...
 * Writes go around the page cache, one at a time. So an image of the disk is as of one
 * instant exactly if every block holds the last write up to the largest stamp in it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 4096, WORDS = BLOCK / 8 };

/* The finaliser of SplitMix64: public domain arithmetic that spreads consecutive numbers evenly. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

int main(int count, char **words)
{
    static uint64_t block[WORDS] __attribute__((aligned(BLOCK)));
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
        if (pwrite(disk, block, BLOCK, mix(number) % blocks * BLOCK) != BLOCK) {
            perror("write");
            return 1;
        }
        if (number == 1 || number % 10000 == 0) {
            printf("guest: stamped %llu\n", (unsigned long long)number);
            fflush(stdout);
        }
        if (pause)
            usleep(pause);
    }
}
