/* A pickle machine that can only build plain values and tensors. Format: CPython's
 * Lib/pickletools.py (opcodes) and PEP 307, 3154, 574; the globals and the persistent ids are
 * those of torch/serialization.py and torch/_utils.py. */
#include "io/pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES (2u << 20)
#define MAX_STACK (1u << 20)
#define CHUNK 256 /* values allocated at once */

enum { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, STORAGE_CLASS };

static const struct {
    const char *module, *name;
    int number;
    vt_dtype dtype;
} globals[] = {
    {"collections", "OrderedDict", ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor", REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, 0},
    {"torch.nn.parameter", "Parameter", REBUILD_PARAMETER, 0}, /* before PyTorch 0.4 */
    {"torch", "FloatStorage", STORAGE_CLASS, VT_F32},
    {"torch", "DoubleStorage", STORAGE_CLASS, VT_F64},
    {"torch", "HalfStorage", STORAGE_CLASS, VT_F16},
    {"torch", "BFloat16Storage", STORAGE_CLASS, VT_BF16},
    {"torch", "LongStorage", STORAGE_CLASS, VT_I64},
    {"torch", "IntStorage", STORAGE_CLASS, VT_I32},
    {"torch", "ShortStorage", STORAGE_CLASS, VT_I16},
    {"torch", "CharStorage", STORAGE_CLASS, VT_I8},
    {"torch", "ByteStorage", STORAGE_CLASS, VT_U8},
    {"torch", "BoolStorage", STORAGE_CLASS, VT_BOOL},
};

#define GLOBAL_COUNT (sizeof globals / sizeof globals[0])

typedef vt_pickle_value value;

typedef struct machine {
    vt_arena *arena;
    const unsigned char *at, *end;
    size_t size;
    bool cut; /* more follows than a pickle may have */
    value *chunk;
    size_t chunk_left, values;
    value **stack;
    size_t depth, stack_capacity;
    value **memo; /* NULL: not set */
    size_t memo_count, memo_capacity;
    const value *storages;
} machine;

static value mark = {.kind = VT_PICKLE_MARK}; /* never changed: extend asks for the kind */

static vt_status corrupt(const char *what)
{
    return vt_error(VT_EFORMAT, "its pickle is corrupt: %s", what);
}

static vt_status too_large(void)
{
    return vt_error(VT_EUNSUPPORTED, "its pickle is larger than any state dictionary's");
}

static vt_status ends_early(const machine *m)
{
    return m->cut ? too_large() : corrupt("it ends too early");
}

static vt_status take(machine *m, size_t count, const unsigned char **out)
{
    if ((size_t)(m->end - m->at) < count) return ends_early(m);
    *out = m->at;
    m->at += count;
    return VT_OK;
}

/* An unsigned little-endian number of 1, 2, 4 or 8 bytes. */
static vt_status take_number(machine *m, int bytes, uint64_t *out)
{
    const unsigned char *p = NULL;
    VT_TRY(take(m, (size_t)bytes, &p));
    *out = 0;
    for (int i = 0; i < bytes; i++)
        *out |= (uint64_t)p[i] << 8 * i;
    return VT_OK;
}

static vt_status new_value(machine *m, value **out, vt_pickle_kind kind)
{
    if (m->values == MAX_VALUES) return too_large();
    if (m->chunk_left == 0) {
        VT_TRY(vt_arena_alloc(m->arena, &m->chunk, CHUNK * sizeof *m->chunk, "pickle"));
        m->chunk_left = CHUNK;
    }
    m->values++;
    *out = &m->chunk[CHUNK - m->chunk_left--];
    (*out)->kind = kind;
    return VT_OK;
}

static vt_status push(machine *m, value *v)
{
    if (m->depth == MAX_STACK) return too_large();
    if (m->depth == m->stack_capacity) {
        size_t capacity = m->stack_capacity ? 2 * m->stack_capacity : 64;
        value **stack = vt_grow(m->stack, m->depth, capacity, sizeof *stack);
        if (!stack) return VT_ENOMEM;
        m->stack = stack;
        m->stack_capacity = capacity;
    }
    m->stack[m->depth++] = v;
    return VT_OK;
}

static vt_status push_integer(machine *m, vt_pickle_kind kind, int64_t integer)
{
    value *v = NULL;
    VT_TRY(new_value(m, &v, kind));
    v->integer = integer;
    return push(m, v);
}

static vt_status push_new(machine *m, vt_pickle_kind kind)
{
    value *v = NULL;
    VT_TRY(new_value(m, &v, kind));
    return push(m, v);
}

/* The value on top, which is no mark. */
static vt_status pop(machine *m, value **out)
{
    if (m->depth == 0 || m->stack[m->depth - 1] == &mark) return corrupt("its stack runs empty");
    *out = m->stack[--m->depth];
    return VT_OK;
}

/* Where the values above the topmost mark begin; the mark itself lies below that. */
static vt_status find_mark(const machine *m, size_t *first)
{
    size_t i = m->depth;
    while (i > 0 && m->stack[i - 1] != &mark)
        i--;
    if (i == 0) return corrupt("a mark is missing");
    *first = i;
    return VT_OK;
}

static vt_status push_text(machine *m, vt_pickle_kind kind, int length_bytes)
{
    uint64_t length = 0;
    const unsigned char *p = NULL;
    value *v = NULL;
    VT_TRY(take_number(m, length_bytes, &length));
    if (length > m->size) return ends_early(m);
    VT_TRY(take(m, (size_t)length, &p));
    VT_TRY(new_value(m, &v, kind));
    v->text.bytes = (const char *)p;
    v->text.length = (size_t)length;
    return push(m, v);
}

/* Two's complement, little-endian, any length; the value must fit into 64 bits. */
static vt_status push_long(machine *m, int length_bytes)
{
    uint64_t length, bits = 0;
    const unsigned char *p = NULL;
    VT_TRY(take_number(m, length_bytes, &length));
    if (length > m->size) return ends_early(m);
    VT_TRY(take(m, (size_t)length, &p));
    unsigned char sign = length > 0 && p[length - 1] & 0x80 ? 0xff : 0;
    for (uint64_t i = 0; i < 8; i++)
        bits |= (uint64_t)(i < length ? p[i] : sign) << 8 * i;
    bool fits = (bits >> 63 != 0) == (sign != 0);
    for (uint64_t i = 8; i < length; i++)
        fits = fits && p[i] == sign;
    if (!fits) return vt_error(VT_EUNSUPPORTED, "holds an integer of more than 64 bits");
    return push_integer(m, VT_PICKLE_INT, (int64_t)bits);
}

static vt_status push_float(machine *m)
{
    const unsigned char *p = NULL;
    uint64_t bits = 0;
    value *v = NULL;
    VT_TRY(take(m, 8, &p));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    VT_TRY(new_value(m, &v, VT_PICKLE_FLOAT));
    memcpy(&v->real, &bits, sizeof bits);
    return push(m, v);
}

/* The topmost `count` values, replaced by a tuple of them. */
static vt_status fold_tuple(machine *m, size_t first, size_t below)
{
    value *v = NULL;
    size_t count = m->depth - first;
    VT_TRY(new_value(m, &v, VT_PICKLE_TUPLE));
    VT_TRY(vt_arena_alloc(m->arena, &v->list.items, count * sizeof *v->list.items, "pickle"));
    if (count) memcpy(v->list.items, m->stack + first, count * sizeof *v->list.items);
    v->list.count = v->list.capacity = count;
    m->depth = below;
    return push(m, v);
}

static vt_status fold_small_tuple(machine *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (m->depth <= i || m->stack[m->depth - 1 - i] == &mark)
            return corrupt("its stack runs empty");
    return fold_tuple(m, m->depth - count, m->depth - count);
}

/* Moves the values from stack index `first` into the list or dict below `below`. */
static vt_status extend(machine *m, vt_pickle_kind kind, size_t first, size_t below)
{
    size_t count = m->depth - first;
    if (below == 0 || m->stack[below - 1]->kind != kind || (kind == VT_PICKLE_DICT && count % 2))
        return corrupt("values are added to something that holds none");
    value *v = m->stack[below - 1];
    if (count > v->list.capacity - v->list.count) {
        size_t capacity = 2 * (v->list.count + count);
        value **items;
        VT_TRY(vt_arena_alloc(m->arena, &items, capacity * sizeof *items, "pickle"));
        if (v->list.count) memcpy(items, v->list.items, v->list.count * sizeof *items);
        v->list.items = items;
        v->list.capacity = capacity;
    }
    if (count) memcpy(v->list.items + v->list.count, m->stack + first, count * sizeof *m->stack);
    v->list.count += count;
    m->depth = below;
    return VT_OK;
}

static vt_status extend_to_mark(machine *m, vt_pickle_kind kind)
{
    size_t first = 0;
    VT_TRY(find_mark(m, &first));
    return extend(m, kind, first, first - 1);
}

static vt_status extend_by(machine *m, vt_pickle_kind kind, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (m->depth <= i || m->stack[m->depth - 1 - i] == &mark)
            return corrupt("its stack runs empty");
    return extend(m, kind, m->depth - count, m->depth - count);
}

static vt_status remember(machine *m, uint64_t index)
{
    if (m->depth == 0 || m->stack[m->depth - 1] == &mark) return corrupt("its stack runs empty");
    /* Picklers number the memo from 0 on, with at least two bytes an entry. */
    if (index >= m->size) return corrupt("a memo index is too large");
    if (index >= m->memo_capacity) {
        size_t capacity = 2 * (size_t)index + 64;
        value **memo = vt_grow(m->memo, m->memo_capacity, capacity, sizeof *memo);
        if (!memo) return VT_ENOMEM;
        m->memo = memo;
        m->memo_capacity = capacity;
    }
    if (!m->memo[index]) m->memo_count++;
    m->memo[index] = m->stack[m->depth - 1];
    return VT_OK;
}

static vt_status recall(machine *m, uint64_t index)
{
    if (index >= m->memo_capacity || !m->memo[index]) return corrupt("a memo entry is missing");
    return push(m, m->memo[index]);
}

/* Bytes of the file made fit to be shown in a message. */
static void show(char *text, size_t capacity, const char *bytes, size_t length)
{
    if (length > capacity - 1) length = capacity - 1;
    for (size_t i = 0; i < length; i++)
        text[i] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?';
    text[length] = '\0';
}

static vt_status push_global(machine *m, const char *module, size_t module_length, const char *name,
                             size_t name_length)
{
    for (size_t i = 0; i < GLOBAL_COUNT; i++)
        if (strlen(globals[i].module) == module_length && strlen(globals[i].name) == name_length &&
            memcmp(globals[i].module, module, module_length) == 0 &&
            memcmp(globals[i].name, name, name_length) == 0)
            return push_integer(m, VT_PICKLE_GLOBAL, (int64_t)i);
    char shown_module[100], shown_name[100];
    show(shown_module, sizeof shown_module, module, module_length);
    show(shown_name, sizeof shown_name, name, name_length);
    size_t suffix = name_length > 7 ? name_length - 7 : 0;
    if (strcmp(shown_module, "torch") == 0 && name_length < sizeof shown_name &&
        strcmp(shown_name + suffix, "Storage") == 0)
        return vt_error(VT_EUNSUPPORTED, "holds a torch.%s, whose elements are not read",
                        shown_name);
    return vt_error(VT_EUNSUPPORTED,
                    "holds a pickled %s.%s, which is not read; save the state dictionary alone: "
                    "torch.save(model.state_dict(), ...)",
                    shown_module, shown_name);
}

static vt_status take_line(machine *m, const char **line, size_t *length)
{
    const unsigned char *newline = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!newline) return ends_early(m);
    *line = (const char *)m->at;
    *length = (size_t)(newline - m->at);
    m->at = newline + 1;
    return VT_OK;
}

static vt_status run_global(machine *m)
{
    const char *module = NULL, *name = NULL;
    size_t module_length = 0, name_length = 0;
    VT_TRY(take_line(m, &module, &module_length));
    VT_TRY(take_line(m, &name, &name_length));
    return push_global(m, module, module_length, name, name_length);
}

static vt_status run_stack_global(machine *m)
{
    value *module = NULL, *name = NULL;
    VT_TRY(pop(m, &name));
    VT_TRY(pop(m, &module));
    if (module->kind != VT_PICKLE_TEXT || name->kind != VT_PICKLE_TEXT)
        return corrupt("a global has no name");
    return push_global(m, module->text.bytes, module->text.length, name->text.bytes,
                       name->text.length);
}

/* (its key, offset, count): what older versions say of a storage that is a part of another. */
static vt_status take_part(value *storage, const value *view)
{
    if (view->kind == VT_PICKLE_NONE) return VT_OK;
    value **part = view->list.items;
    if (view->kind != VT_PICKLE_TUPLE || view->list.count != 3 || part[1]->kind != VT_PICKLE_INT ||
        part[2]->kind != VT_PICKLE_INT || part[1]->integer < 0 || part[2]->integer < 0 ||
        part[1]->integer > storage->storage.count ||
        part[2]->integer > storage->storage.count - part[1]->integer)
        return corrupt("a storage is no part of another");
    storage->storage.offset = part[1]->integer;
    storage->storage.count = part[2]->integer;
    return VT_OK;
}

/* ('storage', class, key, location, count of elements[, part]) */
static vt_status run_persistent_id(machine *m)
{
    value *id = NULL, *storage = NULL;
    VT_TRY(pop(m, &id));
    if (id->kind != VT_PICKLE_TUPLE || id->list.count < 5 || id->list.count > 6)
        return corrupt("a storage is unknown");
    value **part = id->list.items;
    if (part[0]->kind != VT_PICKLE_TEXT || part[0]->text.length != 7 ||
        memcmp(part[0]->text.bytes, "storage", 7) != 0 || part[1]->kind != VT_PICKLE_GLOBAL ||
        globals[part[1]->integer].number != STORAGE_CLASS || part[2]->kind != VT_PICKLE_TEXT ||
        part[4]->kind != VT_PICKLE_INT || part[4]->integer < 0)
        return corrupt("a storage is unknown");
    VT_TRY(new_value(m, &storage, VT_PICKLE_STORAGE));
    storage->storage.key = part[2];
    storage->storage.dtype = globals[part[1]->integer].dtype;
    storage->storage.count = part[4]->integer;
    if (id->list.count == 6) VT_TRY(take_part(storage, part[5]));
    storage->storage.next = m->storages;
    m->storages = storage;
    return push(m, storage);
}

/* Whether the view's elements all lie in a storage of `count`. */
static bool view_fits(const vt_pickle_tensor *t, int64_t count)
{
    int64_t last = t->offset, reach;
    for (int i = 0; i < t->ndim; i++) {
        if (t->size[i] == 0) return true;
        if (__builtin_mul_overflow(t->size[i] - 1, t->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return false;
    }
    return last < count;
}

static vt_status dimension(const value *list, size_t index, int64_t *out)
{
    const value *v = list->list.items[index];
    if (v->kind != VT_PICKLE_INT || v->integer < 0) return corrupt("a tensor's size is no size");
    *out = v->integer;
    return VT_OK;
}

/* _rebuild_tensor(storage, offset, size, stride), _rebuild_tensor_v2(the same, requires_grad,
 * backward_hooks[, metadata]) */
static vt_status rebuild_tensor(machine *m, const value *arguments)
{
    value **a = arguments->list.items;
    if (arguments->list.count < 4 || a[0]->kind != VT_PICKLE_STORAGE ||
        a[1]->kind != VT_PICKLE_INT || a[1]->integer < 0 || a[2]->kind != VT_PICKLE_TUPLE ||
        a[3]->kind != VT_PICKLE_TUPLE || a[2]->list.count != a[3]->list.count)
        return corrupt("a tensor cannot be rebuilt");
    if (a[2]->list.count > VT_MAX_DIMS)
        return vt_error(VT_EUNSUPPORTED, "holds a tensor of %zu dimensions; at most %d are read",
                        a[2]->list.count, VT_MAX_DIMS);
    vt_pickle_tensor *t;
    value *v = NULL;
    VT_TRY(vt_arena_alloc(m->arena, &t, sizeof *t, "pickle"));
    t->storage = a[0];
    t->offset = a[1]->integer;
    t->ndim = (int)a[2]->list.count;
    for (int i = 0; i < t->ndim; i++) {
        VT_TRY(dimension(a[2], (size_t)i, &t->size[i]));
        VT_TRY(dimension(a[3], (size_t)i, &t->stride[i]));
    }
    if (!view_fits(t, a[0]->storage.count)) return corrupt("a tensor reaches beyond its storage");
    VT_TRY(new_value(m, &v, VT_PICKLE_TENSOR));
    v->tensor = t;
    return push(m, v);
}

static vt_status run_reduce(machine *m)
{
    value *arguments = NULL, *callable = NULL;
    VT_TRY(pop(m, &arguments));
    VT_TRY(pop(m, &callable));
    if (callable->kind != VT_PICKLE_GLOBAL || arguments->kind != VT_PICKLE_TUPLE)
        return corrupt("it calls what is no function");
    switch (globals[callable->integer].number) {
    case ORDERED_DICT:
        if (arguments->list.count != 0) return corrupt("a dictionary cannot be rebuilt");
        return push_new(m, VT_PICKLE_DICT);
    case REBUILD_TENSOR: return rebuild_tensor(m, arguments);
    case REBUILD_PARAMETER:
        if (arguments->list.count < 1 || arguments->list.items[0]->kind != VT_PICKLE_TENSOR)
            return corrupt("a parameter cannot be rebuilt");
        return push(m, arguments->list.items[0]);
    default: return corrupt("it calls what is no function");
    }
}

/* Sets attributes of an object: of a dictionary its `_metadata`, of a parameter whether it is
 * trained. Left out. */
static vt_status run_build(machine *m)
{
    value *state = NULL;
    VT_TRY(pop(m, &state));
    vt_pickle_kind kind = m->depth > 0 ? m->stack[m->depth - 1]->kind : VT_PICKLE_NONE;
    if (kind != VT_PICKLE_DICT && kind != VT_PICKLE_TENSOR)
        return corrupt("it sets attributes of what has none");
    return VT_OK;
}

static vt_status run_opcode(machine *m, unsigned char opcode)
{
    uint64_t n = 0;
    size_t first = 0;
    value *v = NULL;
    switch (opcode) {
    case '(': return push(m, &mark);
    case 'N': return push_new(m, VT_PICKLE_NONE);
    case 0x88: return push_integer(m, VT_PICKLE_BOOL, 1);
    case 0x89: return push_integer(m, VT_PICKLE_BOOL, 0);
    case 'J': VT_TRY(take_number(m, 4, &n)); return push_integer(m, VT_PICKLE_INT, (int32_t)n);
    case 'K': VT_TRY(take_number(m, 1, &n)); return push_integer(m, VT_PICKLE_INT, (int64_t)n);
    case 'M': VT_TRY(take_number(m, 2, &n)); return push_integer(m, VT_PICKLE_INT, (int64_t)n);
    case 0x8a: return push_long(m, 1);
    case 0x8b: return push_long(m, 4);
    case 'G': return push_float(m);
    case 0x8c: return push_text(m, VT_PICKLE_TEXT, 1);
    case 'X': return push_text(m, VT_PICKLE_TEXT, 4);
    case 'U': return push_text(m, VT_PICKLE_TEXT, 1); /* what Python 2 calls a string */
    case 'T': return push_text(m, VT_PICKLE_TEXT, 4);
    case 0x8d: return push_text(m, VT_PICKLE_TEXT, 8);
    case 'C': return push_text(m, VT_PICKLE_BYTES, 1);
    case 'B': return push_text(m, VT_PICKLE_BYTES, 4);
    case 0x8e: return push_text(m, VT_PICKLE_BYTES, 8);
    case ')': return push_new(m, VT_PICKLE_TUPLE);
    case ']': return push_new(m, VT_PICKLE_LIST);
    case '}': return push_new(m, VT_PICKLE_DICT);
    case 't': VT_TRY(find_mark(m, &first)); return fold_tuple(m, first, first - 1);
    case 0x85: return fold_small_tuple(m, 1);
    case 0x86: return fold_small_tuple(m, 2);
    case 0x87: return fold_small_tuple(m, 3);
    case 'a': return extend_by(m, VT_PICKLE_LIST, 1);
    case 'e': return extend_to_mark(m, VT_PICKLE_LIST);
    case 's': return extend_by(m, VT_PICKLE_DICT, 2);
    case 'u': return extend_to_mark(m, VT_PICKLE_DICT);
    case '0': return pop(m, &v);
    case '1':
        VT_TRY(find_mark(m, &first));
        m->depth = first - 1;
        return VT_OK;
    case '2':
        VT_TRY(pop(m, &v));
        VT_TRY(push(m, v));
        return push(m, v);
    case 'q': VT_TRY(take_number(m, 1, &n)); return remember(m, n);
    case 'r': VT_TRY(take_number(m, 4, &n)); return remember(m, n);
    case 0x94: return remember(m, m->memo_count);
    case 'h': VT_TRY(take_number(m, 1, &n)); return recall(m, n);
    case 'j': VT_TRY(take_number(m, 4, &n)); return recall(m, n);
    case 'c': return run_global(m);
    case 0x93: return run_stack_global(m);
    case 'Q': return run_persistent_id(m);
    case 'R': return run_reduce(m);
    case 'b': return run_build(m);
    case 0x95: return take_number(m, 8, &n); /* frames only help those who read ahead */
    default:
        return vt_error(VT_EUNSUPPORTED,
                        "its pickle has the opcode 0x%02x, which state dictionaries do not use",
                        opcode);
    }
}

static vt_status run(machine *m, value **out)
{
    const unsigned char *p = NULL;
    VT_TRY(take(m, 2, &p));
    if (p[0] != 0x80 || p[1] < 2 || p[1] > 5)
        return corrupt("it does not begin with protocol 2, 3, 4 or 5");
    for (;;) {
        VT_TRY(take(m, 1, &p));
        if (*p == '.') break;
        VT_TRY(run_opcode(m, *p));
    }
    return pop(m, out);
}

vt_status vt_pickle_parse(vt_pickle *out, vt_arena *arena, const void *data, size_t size)
{
    bool cut = size > VT_PICKLE_MAX_BYTES;
    if (cut) size = VT_PICKLE_MAX_BYTES;
    const unsigned char *bytes = data;
    machine m = {.arena = arena, .at = bytes, .end = bytes + size, .size = size, .cut = cut};
    value *top = NULL;
    vt_status status = run(&m, &top);
    free(m.stack);
    free(m.memo);
    if (status == VT_OK) *out = (vt_pickle){top, m.storages, (size_t)(m.at - bytes)};
    return status;
}
