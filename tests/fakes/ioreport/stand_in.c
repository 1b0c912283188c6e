/* A stand-in for Apple's IOReport and the little of CoreFoundation that goes with it.
 *
 * LOCALLLM_TEST_IOREPORT   a file of channels, a line each: name, unit and count, with tabs
 *                          between; read again at each sample. Without it there is no such group.
 * LOCALLLM_TEST_LEAKS      a file that gets, at each release, how many things are still held
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, ROOM = 256 };
typedef struct { char text[ROOM]; } String;
typedef struct { String name, unit; int64_t count; } Channel;
typedef struct { Channel channels[MOST]; long size; } Dictionary;

static long held = 0;

static void *made(size_t size) {
    held++;
    return calloc(1, size);
}

void CFRelease(void *thing) {
    const char *path = getenv("LOCALLLM_TEST_LEAKS");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (thing == NULL) abort(); /* as the real one does */
    free(thing);
    held--;
    if (file == NULL) return;
    fprintf(file, "%ld", held);
    fclose(file);
}

String *CFStringCreateWithCString(void *allocator, const char *text, uint32_t encoding) {
    String *string = made(sizeof *string);
    (void)allocator;
    if (encoding != 0x08000100) abort();
    snprintf(string->text, ROOM, "%s", text);
    return string;
}

unsigned char CFStringGetCString(String *string, char *target, long room, uint32_t encoding) {
    (void)encoding;
    if ((long)strlen(string->text) >= room) return 0;
    strcpy(target, string->text);
    return 1;
}

long CFDictionaryGetCount(Dictionary *dictionary) { return dictionary->size; }

Dictionary *CFDictionaryCreateMutableCopy(void *allocator, long room, Dictionary *dictionary) {
    Dictionary *copy = made(sizeof *copy);
    (void)allocator;
    if (room != dictionary->size) abort();
    *copy = *dictionary;
    return copy;
}

/* A list of channels is the dictionary that holds it. */
void *CFDictionaryGetValue(Dictionary *dictionary, String *key) {
    return strcmp(key->text, "IOReportChannels") == 0 ? dictionary : NULL;
}

long CFArrayGetCount(Dictionary *array) { return array->size; }

Channel *CFArrayGetValueAtIndex(Dictionary *array, long number) {
    if (number < 0 || number >= array->size) abort();
    return &array->channels[number];
}

static Dictionary *read_channels(void) {
    const char *path = getenv("LOCALLLM_TEST_IOREPORT");
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    Dictionary *found = file == NULL ? NULL : made(sizeof *found);
    long long count;
    if (file == NULL) return NULL;
    while (found->size < MOST) {
        Channel *channel = &found->channels[found->size];
        if (fscanf(file, " %255[^\t]\t%255[^\t]\t%lld", channel->name.text, channel->unit.text,
                   &count) != 3)
            break;
        channel->count = count;
        found->size++;
    }
    fclose(file);
    return found;
}

Dictionary *IOReportCopyChannelsInGroup(String *group, String *subgroup, uint64_t a, uint64_t b,
                                        uint64_t c) {
    if (subgroup != NULL || a || b || c) abort();
    return strcmp(group->text, "Energy Model") == 0 ? read_channels() : NULL;
}

String *IOReportCreateSubscription(void *a, Dictionary *channels, Dictionary **kept, uint64_t b,
                                   void *c) {
    if (a != NULL || b || c != NULL || kept == NULL || channels == NULL) abort();
    return CFStringCreateWithCString(NULL, "subscription", 0x08000100);
}

Dictionary *IOReportCreateSamples(String *subscription, Dictionary *channels, void *a) {
    if (channels == NULL || a != NULL || strcmp(subscription->text, "subscription")) abort();
    return read_channels();
}

String *IOReportChannelGetChannelName(Channel *channel) { return &channel->name; }
String *IOReportChannelGetUnitLabel(Channel *channel) { return &channel->unit; }

int64_t IOReportSimpleGetIntegerValue(Channel *channel, int zero) {
    if (zero) abort();
    return channel->count;
}
