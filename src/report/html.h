/* Text for HTML that is XML as well, and gnuplot's drawings inside it. */
#pragma once

#include <stdio.h>

/* Text in elements and in quoted attributes: markup is escaped, and what XML does not allow
 * (control characters, bytes that are no UTF-8) becomes U+FFFD. */
void html_text(FILE *out, const char *text);

/* A drawing of gnuplot's.  Several stand in one page, so its ids get a name of their own; and it
 * gets a title and a text for those who do not see it.
 *   svg   the text of the file; well-formed in, well-formed out
 *   name  of letters, unique in the page */
void html_svg(FILE *out, const char *svg, const char *name, const char *title,
              const char *description);
