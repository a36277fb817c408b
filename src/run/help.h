/* What --help says: all verbs, or one of them with its options. */
#pragma once

#include <stdio.h>

/* verb: NULL or no verb's name: all of them in short. */
void help_print(const char *verb, FILE *out);
