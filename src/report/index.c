#include "report/index.h"

#include "base/mem.h"
#include "report/html.h"
#include "report/output.h"
#include "report/page.h"

#include <stdlib.h>

static void put_entry(FILE *f, const struct index_entry *x)
{
    static const char *const keys[] = {"generator.id", "reward.id", "dataset.id"};
    fprintf(f, "<tr><th scope=\"row\"><a href=\"%zu/report.html\">group %zu</a></th>", x->number,
            x->number);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const struct entry *value = entries_find(&x->c->files[0].keys, keys[k]);
        fputs("<td class=\"l\">", f);
        html_text(f, value ? value->text : "?");
        fputs("</td>", f);
    }
    fprintf(f, "<td>%d</td><td>%lld</td></tr>\n", x->c->n_files, (long long)x->c->n_prompts);
}

static void put_index(FILE *f, const struct index_entry *entries, size_t n)
{
    page_begin(f, "specrej report");
    fputs("<main>\n<h1>Best-of-N and Speculative Rejection</h1>\n<p>Files of different datasets or "
          "models are not compared: each group has a page of its own.</p>\n"
          "<div class=\"box\" tabindex=\"0\" role=\"region\" aria-label=\"Groups\">\n<table>\n"
          "<thead><tr><th scope=\"col\">group</th><th scope=\"col\" class=\"l\">generator</th>"
          "<th scope=\"col\" class=\"l\">reward model</th>"
          "<th scope=\"col\" class=\"l\">dataset</th>"
          "<th scope=\"col\">files</th><th scope=\"col\">prompts</th></tr></thead>\n<tbody>\n",
          f);
    for (size_t i = 0; i < n; i++) put_entry(f, &entries[i]);
    fputs("</tbody>\n</table>\n</div>\n</main>\n</body>\n</html>\n", f);
}

int index_write(const struct index_entry *entries, size_t n, const char *folder, struct err *e)
{
    struct output o;
    char *path = mem_printf("%s/report.html", folder);
    int rc = output_begin(&o, path, NULL, e);
    if (rc == 0) {
        put_index(o.file, entries, n);
        rc = output_end(&o, 0, e);
    }
    free(path);
    return rc;
}
