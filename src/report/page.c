/* Web pages of results: one file of plain HTML with its style inside. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "report/text.h"
#include "ventral/report.h"

struct vt_page {
    vt_text text;
    int columns, texts; /* of the table being written */
};

static const char style[] =
    "body{font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "color:#222;background:#fff;max-width:60rem;margin:2.5rem auto;padding:0 1.25rem}\n"
    "h1{font-size:1.9rem;line-height:1.2;margin:0 0 1rem;font-weight:650}\n"
    "h2{font-size:1.25rem;margin:2.75rem 0 .5rem;padding-top:1rem;border-top:1px solid #e3e3e3;"
    "font-weight:600}\n"
    "p{max-width:46rem;margin:.6rem 0}\n"
    "figure{margin:1rem 0}\n"
    "img{max-width:100%;height:auto;display:block}\n"
    "figcaption{font-size:.85rem;line-height:1.4;color:#555;margin-top:.35rem;max-width:46rem}\n"
    ".row{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}\n"
    ".row figure{margin:.5rem 0}\n"
    "table{border-collapse:collapse;font-size:.92rem;margin:1rem 0;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.28rem 0 .28rem 1.6rem;text-align:left;border-bottom:1px solid #ececec}\n"
    "th:first-child,td:first-child{padding-left:0}\n"
    "th{font-weight:600;border-bottom:1px solid #999}\n"
    "td.n,th.n{text-align:right}\n"
    "pre{background:#f6f6f4;border:1px solid #e3e3e3;border-radius:4px;padding:.8rem 1rem;"
    "overflow-x:auto;font:.85rem/1.55 ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}\n";

vt_status vt_page_new(vt_page **out, const char *title)
{
    vt_page *page = vt_alloc(1, sizeof *page);
    if (!page) return VT_ENOMEM;
    vt_text *t = &page->text;
    vt_text_add(t, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<title>");
    vt_text_html(t, title);
    vt_text_add(t, "</title>\n<style>\n");
    vt_text_add(t, style);
    vt_text_add(t, "</style>\n</head>\n<body>\n<h1>");
    vt_text_html(t, title);
    vt_text_add(t, "</h1>\n");
    *out = page;
    return VT_OK;
}

void vt_page_free(vt_page *page)
{
    if (!page) return;
    vt_text_free(&page->text);
    free(page);
}

static void element(vt_page *page, const char *open, const char *text, const char *close)
{
    vt_text_add(&page->text, open);
    vt_text_html(&page->text, text);
    vt_text_add(&page->text, close);
}

void vt_page_heading(vt_page *page, const char *text)
{
    element(page, "<h2>", text, "</h2>\n");
}

void vt_page_paragraph(vt_page *page, const char *text)
{
    element(page, "<p>", text, "</p>\n");
}

void vt_page_link(vt_page *page, const char *target, const char *text)
{
    vt_text_add(&page->text, "<p><a href=\"");
    vt_text_url(&page->text, target);
    element(page, "\">", text, "</a></p>\n");
}

void vt_page_code(vt_page *page, const char *text)
{
    element(page, "<pre>", text, "</pre>\n");
}

void vt_page_row_begin(vt_page *page)
{
    vt_text_add(&page->text, "<div class=\"row\">\n");
}

void vt_page_row_end(vt_page *page)
{
    vt_text_add(&page->text, "</div>\n");
}

void vt_page_figure(vt_page *page, const char *source, const char *alternative, const char *caption,
                    int width)
{
    vt_text *t = &page->text;
    vt_text_add(t, "<figure");
    if (width > 0) vt_text_format(t, " style=\"width:%dpx;max-width:100%%\"", width);
    vt_text_add(t, "><img src=\"");
    vt_text_url(t, source);
    element(page, "\" alt=\"", alternative, "\"");
    if (width > 0) vt_text_format(t, " width=\"%d\"", width);
    vt_text_add(t, ">");
    if (caption) element(page, "<figcaption>", caption, "</figcaption>");
    vt_text_add(t, "</figure>\n");
}

void vt_page_table_begin(vt_page *page, const char *const *columns, int count, int texts)
{
    page->columns = count;
    page->texts = texts;
    vt_text_add(&page->text, "<table>\n<thead><tr>");
    for (int i = 0; i < count; i++)
        element(page, i < texts ? "<th scope=\"col\">" : "<th scope=\"col\" class=\"n\">",
                columns[i], "</th>");
    vt_text_add(&page->text, "</tr></thead>\n<tbody>\n");
}

void vt_page_table_row(vt_page *page, const char *const *cells)
{
    vt_text_add(&page->text, "<tr>");
    for (int i = 0; i < page->columns; i++)
        element(page, i < page->texts ? "<td>" : "<td class=\"n\">", cells[i], "</td>");
    vt_text_add(&page->text, "</tr>\n");
}

void vt_page_table_end(vt_page *page)
{
    vt_text_add(&page->text, "</tbody>\n</table>\n");
}

vt_status vt_page_write(const vt_page *page, const char *path)
{
    vt_text whole = {0};
    vt_text_add(&whole, page->text.data ? page->text.data : "");
    whole.failed = whole.failed || page->text.failed;
    vt_text_add(&whole, "</body>\n</html>\n");
    vt_status status = vt_text_write(&whole, path);
    vt_text_free(&whole);
    return status;
}
