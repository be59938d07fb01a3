/* A machine description: what the fake driver answers, read from a text file.
 *
 *     key = value                 of the system
 *     [gpu 0]  [gpu *]            of one GPU, or of all that do not say otherwise
 *     [link 0 3]  [link * 3]      of one NVLink of one GPU, or of that link of every GPU
 *     [pair 0 1]  [pair * *]      of two GPUs, the lower number first
 *     [switch 0]                  an NVSwitch: on the PCI bus only, NVML does not show it
 *
 * '#' starts a comment. A later line overrides an earlier one. Instead of a value any key may say
 * "error N" (the call returns N), "hang" (it never returns) or "crash" (the process aborts).
 */
#ifndef MACHINE_H
#define MACHINE_H

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7,
       ARGUMENT_VERSION_MISMATCH = 25 };

/* Each finds a value and returns SUCCESS, NOT_SUPPORTED where the description says nothing, or
 * the error that it asks for. */
int system_value(const char *key, const char **value);
int gpu_value(unsigned gpu, const char *key, const char **value);
int link_value(unsigned gpu, unsigned link, const char *key, const char **value);
int pair_value(unsigned first, unsigned second, const char *key, const char **value);

#endif
