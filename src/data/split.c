/* Subsets of images and neurons: ranges, lists of indices, random splits. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ventral/rng.h"
#include "ventral/session.h"

/* Digits at *text, which is moved behind them. */
static bool take_number(const char **text, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**text)) return false;
    errno = 0;
    *out = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

vt_status vt_range_parse(int64_t *begin, int64_t *end, const char *text, int64_t count)
{
    int64_t from = 0, to = count;
    const char *p = text;
    if (strcmp(text, "first") == 0) {
        to = count / 2;
    } else if (strcmp(text, "second") == 0) {
        from = count / 2;
    } else if (strcmp(text, "all") != 0) {
        bool good = *p == ':' || take_number(&p, &from);
        good = good && *p++ == ':' && (*p == '\0' || (take_number(&p, &to) && *p == '\0'));
        if (!good)
            return vt_error(VT_EINVAL,
                            "range '%s': use A:B (from A to before B), A:, :B, first, second or "
                            "all",
                            text);
    }
    if (to > count)
        return vt_error(VT_EINVAL, "range '%s' ends beyond the %lld there are", text,
                        (long long)count);
    if (from >= to)
        return vt_error(VT_EINVAL, "range '%s' is empty (there are %lld)", text, (long long)count);
    *begin = from;
    *end = to;
    return VT_OK;
}

/* Parses one "A" or "A-B" at *text. */
static vt_status take_span(const char **p, int64_t *from, int64_t *to, const char *text,
                           int64_t count)
{
    bool good = take_number(p, from);
    *to = *from;
    if (good && **p == '-') {
        ++*p;
        good = take_number(p, to);
    }
    if (!good || (**p != ',' && **p != '\0') || (**p == ',' && (*p)[1] == '\0'))
        return vt_error(VT_EINVAL, "list '%s': use indices and ranges such as 0,3,5-9", text);
    if (*from > *to)
        return vt_error(VT_EINVAL, "list '%s': %lld-%lld runs backwards", text, (long long)*from,
                        (long long)*to);
    if (*to >= count)
        return vt_error(VT_EINVAL, "list '%s': there is no %lld, only 0 to %lld", text,
                        (long long)*to, (long long)(count - 1));
    if (**p == ',') ++*p;
    return VT_OK;
}

static vt_status parse_list(int64_t *indices, int64_t *total, bool *seen, const char *text,
                            int64_t count)
{
    const char *p = text;
    do {
        int64_t from = 0, to = 0;
        VT_TRY(take_span(&p, &from, &to, text, count));
        for (int64_t i = from; i <= to; i++) {
            if (seen[i])
                return vt_error(VT_EINVAL, "list '%s': %lld comes twice", text, (long long)i);
            seen[i] = true;
            indices[(*total)++] = i;
        }
    } while (*p);
    return VT_OK;
}

vt_status vt_index_list_parse(int64_t **out, int64_t *out_count, const char *text, int64_t count)
{
    if (count < 1) return vt_error(VT_EINVAL, "list '%s': there is nothing to choose from", text);
    int64_t total = 0;
    int64_t *indices = vt_alloc((size_t)count, sizeof *indices);
    bool *seen = vt_alloc((size_t)count, sizeof *seen);
    vt_status status = VT_ENOMEM;
    if (indices && seen) status = parse_list(indices, &total, seen, text, count);
    free(seen);
    if (status != VT_OK) {
        free(indices);
        return status;
    }
    *out = indices;
    *out_count = total;
    return VT_OK;
}

static int compare_indices(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void sort_indices(int64_t *indices, int64_t count)
{
    qsort(indices, (size_t)count, sizeof *indices, compare_indices);
}

vt_status vt_split_random(vt_split *out, int64_t count, double validation, double test,
                          uint64_t seed)
{
    if (!(validation >= 0 && test >= 0 && validation + test < 1))
        return vt_error(VT_EINVAL,
                        "fractions %g (validation) and %g (test) do not leave a part for training",
                        validation, test);
    if (count < 1 || count > UINT32_MAX)
        return vt_error(VT_EINVAL, "%lld items cannot be split", (long long)count);
    vt_split split = {.validation_count = llround(validation * (double)count),
                      .test_count = llround(test * (double)count)};
    split.train_count = count - split.validation_count - split.test_count;
    if (split.train_count < 1 || (validation > 0 && split.validation_count < 1) ||
        (test > 0 && split.test_count < 1))
        return vt_error(VT_EINVAL,
                        "%lld items are too few for fractions %g (validation) and %g (test)",
                        (long long)count, validation, test);
    int64_t *order = vt_alloc((size_t)count, sizeof *order);
    if (!order) return VT_ENOMEM;
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_SPLIT, 0, 0);
    vt_rng_shuffle(&rng, order, count);
    split.train = order; /* one block: freed through its first part */
    split.validation = split.train + split.train_count;
    split.test = split.validation + split.validation_count;
    sort_indices(split.train, split.train_count);
    sort_indices(split.validation, split.validation_count);
    sort_indices(split.test, split.test_count);
    *out = split;
    return VT_OK;
}

/* An item, and a kind of item, in the order that the split takes them. */
typedef struct item {
    int64_t label, rank, index;
} item;

typedef struct kind {
    int64_t first, count, training;
    double remainder;
    int64_t rank;
} kind;

static int compare_items(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static int compare_remainders(const void *a, const void *b)
{
    const kind *x = a, *y = b;
    if (x->remainder != y->remainder) return x->remainder > y->remainder ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Kinds of the sorted items with their training items: the share rounded down, and one more for
 * those with the largest remainders, among equals at random. Returns the number of kinds. */
static int64_t share(kind *kinds, const item *items, int64_t count, int64_t training)
{
    int64_t found = 0, given = 0;
    for (int64_t i = 0; i < count; i++) {
        if (i == 0 || items[i].label != items[i - 1].label)
            kinds[found++] = (kind){.first = i, .rank = items[i].rank};
        kinds[found - 1].count++;
    }
    for (int64_t k = 0; k < found; k++) {
        double part = (double)kinds[k].count * (double)training / (double)count;
        kinds[k].training = (int64_t)floor(part);
        kinds[k].remainder = part - floor(part);
        given += kinds[k].training;
    }
    qsort(kinds, (size_t)found, sizeof *kinds, compare_remainders);
    for (int64_t k = 0; given < training; k++, given++)
        kinds[k].training++;
    return found;
}

vt_status vt_split_stratified(vt_split *out, const int64_t *labels, int64_t count, double test,
                              int index, uint64_t seed)
{
    if (!(test > 0 && test < 1))
        return vt_error(VT_EINVAL, "a fraction of %g for testing: it must be between 0 and 1",
                        test);
    if (count < 1 || count > UINT32_MAX || index < 0)
        return vt_error(VT_EINVAL, "%lld items cannot be split", (long long)count);
    vt_split split = {.test_count = (int64_t)ceil(test * (double)count)};
    split.train_count = count - split.test_count;
    if (split.train_count < 1)
        return vt_error(VT_EINVAL, "%lld items are too few for a fraction of %g for testing",
                        (long long)count, test);
    int64_t *order = vt_alloc((size_t)count, sizeof *order);
    item *items = vt_alloc((size_t)count, sizeof *items);
    kind *kinds = vt_alloc((size_t)count, sizeof *kinds);
    if (!order || !items || !kinds) {
        free(order);
        free(items);
        free(kinds);
        return VT_ENOMEM;
    }
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    vt_rng rng;
    vt_rng_init(&rng, seed, VT_RNG_STRATIFY, (uint32_t)index, 0);
    vt_rng_shuffle(&rng, order, count);
    for (int64_t i = 0; i < count; i++)
        items[i] = (item){.label = labels ? labels[order[i]] : 0, .rank = i, .index = order[i]};
    qsort(items, (size_t)count, sizeof *items, compare_items);
    int64_t found = share(kinds, items, count, split.train_count), trained = 0, tested = 0;
    split.train = order; /* one block: freed through its first part */
    split.validation = split.test = split.train + split.train_count;
    for (int64_t k = 0; k < found; k++)
        for (int64_t i = 0; i < kinds[k].count; i++) {
            int64_t which = items[kinds[k].first + i].index;
            if (i < kinds[k].training)
                split.train[trained++] = which;
            else
                split.test[tested++] = which;
        }
    sort_indices(split.train, split.train_count);
    sort_indices(split.test, split.test_count);
    free(items);
    free(kinds);
    *out = split;
    return VT_OK;
}

void vt_split_free(vt_split *split)
{
    if (!split) return;
    free(split->train);
    *split = (vt_split){0};
}
