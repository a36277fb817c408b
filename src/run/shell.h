/* Words of command lines that a person may copy. */
#pragma once

/* As a shell takes it for this one word.  Caller frees. */
char *shell_word(const char *text);
