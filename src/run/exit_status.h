/* What the shell hears: README.md says what each means. */
#pragma once

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_BAD_INPUT = 2, EXIT_CONTINUE = 75 };
