#include "machine.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_ENTRIES = 4096, LONGEST = 256 };

static struct { char *key, *value; } entries[MOST_ENTRIES];
static int entry_count = -1;

static char *trimmed(char *text) {
    while (isspace((unsigned char)*text)) text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1])) *--end = '\0';
    return text;
}

/* "[gpu 0]" becomes the prefix "gpu 0 ". */
static void enter_section(char *line, char *prefix) {
    line[strcspn(line, "]")] = '\0';
    snprintf(prefix, LONGEST, "%.200s ", trimmed(line + 1));
}

static void add_entry(const char *prefix, char *line) {
    char *equals = strchr(line, '=');
    if (!equals || entry_count == MOST_ENTRIES) {
        fprintf(stderr, "machine description: cannot take the line '%s'\n", line);
        abort();
    }
    *equals = '\0';
    char key[2 * LONGEST];
    snprintf(key, sizeof key, "%s%s", prefix, trimmed(line));
    entries[entry_count].key = strdup(key);
    entries[entry_count++].value = strdup(trimmed(equals + 1));
}

static void load(void) {
    entry_count = 0;
    const char *path = getenv("FAKE_NVML_MACHINE");
#ifdef MACHINE_FILE /* for a reader whose environment nobody can add to */
    if (!path) path = MACHINE_FILE;
#endif
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) {
        fprintf(stderr, "FAKE_NVML_MACHINE names no readable file\n");
        abort();
    }
    char buffer[LONGEST], prefix[LONGEST] = "";
    while (fgets(buffer, sizeof buffer, file)) {
        buffer[strcspn(buffer, "#")] = '\0';
        char *line = trimmed(buffer);
        if (*line == '[') enter_section(line, prefix);
        else if (*line) add_entry(prefix, line);
    }
    fclose(file);
}

static const char *lookup(const char *key) {
    if (entry_count < 0) load();
    for (int i = entry_count - 1; i >= 0; i--)
        if (!strcmp(entries[i].key, key)) return entries[i].value;
    return NULL;
}

static int answer(const char *found, const char **value) {
    if (!found) return NOT_SUPPORTED;
    if (!strncmp(found, "error ", 6)) return atoi(found + 6);
    if (!strcmp(found, "crash")) abort();
    while (!strcmp(found, "hang")) pause();
    *value = found;
    return SUCCESS;
}

int system_value(const char *key, const char **value) {
    return answer(lookup(key), value);
}

/* The most particular section that has the key: of one, then of all. */
static const char *lookup_gpu(unsigned gpu, const char *key) {
    char name[LONGEST];
    snprintf(name, sizeof name, "gpu %u %s", gpu, key);
    const char *found = lookup(name);
    if (found) return found;
    snprintf(name, sizeof name, "gpu * %s", key);
    return lookup(name);
}

int gpu_value(unsigned gpu, const char *key, const char **value) {
    int code = answer(lookup_gpu(gpu, "everything"), value);
    return code == NOT_SUPPORTED ? answer(lookup_gpu(gpu, key), value) : code;
}

int link_value(unsigned gpu, unsigned link, const char *key, const char **value) {
    char names[4][LONGEST];
    snprintf(names[0], LONGEST, "link %u %u %s", gpu, link, key);
    snprintf(names[1], LONGEST, "link %u * %s", gpu, key);
    snprintf(names[2], LONGEST, "link * %u %s", link, key);
    snprintf(names[3], LONGEST, "link * * %s", key);
    const char *found = NULL;
    for (int i = 0; i < 4 && !found; i++) found = lookup(names[i]);
    return answer(found, value);
}

int pair_value(unsigned first, unsigned second, const char *key, const char **value) {
    char name[LONGEST];
    snprintf(name, sizeof name, "pair %u %u %s", first, second, key);
    const char *found = lookup(name);
    if (!found) {
        snprintf(name, sizeof name, "pair * * %s", key);
        found = lookup(name);
    }
    return answer(found, value);
}
