/* Text and drawings in HTML: what is markup or no text at all, ids that several drawings share. */
#include "base/mem.h"
#include "report/html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_text(const char *text, const char *want)
{
    char *got = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&got, &n);
    html_text(f, text);
    fclose(f);
    assert_string_equal(got, want);
    free(got);
}

#define GONE "\xef\xbf\xbd"

static void test_text(void **state)
{
    (void)state;
    check_text("", "");
    check_text("a <b> & \"c\" 'd'", "a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
    check_text("&lt;", "&amp;lt;");
    check_text("tab\tline\n", "tab\tline\n");
    check_text("\x01 \x1b[0m \x7f \r", GONE " " GONE "[0m " GONE " " GONE);
    check_text("\xc3\xa4 \xf0\x9f\x98\x80", "\xc3\xa4 \xf0\x9f\x98\x80");
    check_text("cut \xc3", "cut " GONE);
    check_text("\xef\xbf\xbe", GONE); /* U+FFFE is no character of XML */
}

static const char drawn[] =
    "<?xml version=\"1.0\"?>\n<svg\n width=\"5\" xmlns:xlink=\"x\"\n>\n\n<title>Gnuplot</title>\n"
    "<desc>Produced by GNUPLOT</desc>\n\n<g id=\"gnuplot_canvas\">\n<defs><circle id='gpDot' "
    "r='1'/>"
    "</defs>\n<g id=\"gnuplot_plot_1\" ><title>a</title></g><g id=\"gnuplot_plot_1\" ></g>\n"
    "<use xlink:href='#gpDot' filter='url(#box)'/></g></svg>\n";

static void test_svg(void **state)
{
    (void)state;
    char *got = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&got, &n);
    html_svg(f, drawn, "one", "A <title>", "What it \"shows\"");
    fclose(f);
    assert_string_equal(
        got, "<svg\n width=\"5\" xmlns:xlink=\"x\"\n role=\"img\" aria-labelledby=\"one-title "
             "one-text\">\n<title id=\"one-title\">A &lt;title&gt;</title>\n<desc "
             "id=\"one-text\">What it &quot;shows&quot;</desc>\n\n\n<g>\n<defs><circle "
             "id='one-gpDot' r='1'/></defs>\n<g ><title>a</title></g><g ></g>\n<use "
             "xlink:href='#one-gpDot' filter='url(#one-box)'/></g></svg>\n");
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_svg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
