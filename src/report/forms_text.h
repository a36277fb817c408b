/* A report as Markdown and as LaTeX rows. */
#pragma once

#include "report/figures.h"

#include <stdio.h>

void forms_md(FILE *f, const struct comparison *c, const struct averages *p,
              const struct figures *figures);
/* figures: not used. */
void forms_tex(FILE *f, const struct comparison *c, const struct averages *p,
               const struct figures *figures);
