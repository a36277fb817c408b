/* Energy that this host's processors have used, from the counters that Linux shows under
 * /sys/class/powercap (RAPL; Intel's and AMD's look alike).  Usually only root may read them. */
#pragma once

#define ENERGY_ROOT "/sys/class/powercap"

struct energy; /* opaque */

/* The counters below `root`; NULL where there are none that this process may read. */
struct energy *energy_open(const char *root);
void energy_close(struct energy *e); /* accepts NULL */

/* Joules of all packages since energy_open; NAN for NULL, or when a counter cannot be read any
 * more.  Counters wrap around, after half an hour at the soonest: to be called more often. */
double energy_read(struct energy *e);
