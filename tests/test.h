/* What the tests share: cmocka, the place of the reference data, temporary folders, tolerances. */
#ifndef VT_TEST_H
#define VT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ventral/status.h"

/* Under AddressSanitizer, several times slower: tests may repeat themselves less often. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

/* Fails with the library's message when the call does. */
#define assert_ok(expression)                                                                      \
    do {                                                                                           \
        vt_status assert_ok_status_ = (expression);                                                \
        if (assert_ok_status_ != VT_OK)                                                            \
            fail_msg("%s: status %d: %s", #expression, assert_ok_status_, vt_error_message());     \
    } while (0)

#define assert_status(expected, expression) assert_int_equal(expected, expression)

/* The message of the last failure contains `text`. */
#define assert_message(text)                                                                       \
    do {                                                                                           \
        if (!strstr(vt_error_message(), text))                                                     \
            fail_msg("message '%s' does not say '%s'", vt_error_message(), text);                  \
    } while (0)

#define assert_close(actual, expected, tolerance)                                                  \
    do {                                                                                           \
        double actual_ = (actual), expected_ = (expected);                                         \
        if (!(fabs(actual_ - expected_) <= (tolerance)))                                           \
            fail_msg("%s is %.12g, expected %.12g", #actual, actual_, expected_);                  \
    } while (0)

/* Path of a file of the reference data ($VENTRAL_SHARED, by default ../shared beside the source),
 * or NULL when it is not there. The text is static. */
static inline const char *shared_path(const char *relative)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    const char *root = getenv("VENTRAL_SHARED");
    if (root && *root)
        snprintf(path, sizeof paths[0], "%s/%s", root, relative);
    else
        snprintf(path, sizeof paths[0], "%s/../shared/%s", TEST_SOURCE_DIR, relative);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* In a test: skips it, saying why, where the recordings (or references) are absent. */
#define need_shared(path_variable, relative)                                                       \
    const char *path_variable = shared_path(relative);                                             \
    if (!path_variable) {                                                                          \
        print_message("skipped: no recordings (%s)\n", relative);                                  \
        skip();                                                                                    \
    }

/* A fresh folder under $TMPDIR or /tmp; remove it with remove_folder. The text is the caller's. */
static inline char *new_folder(char text[4096])
{
    const char *root = getenv("TMPDIR");
    snprintf(text, 4096, "%s/ventral-test-XXXXXX", root && *root ? root : "/tmp");
    if (!mkdtemp(text)) fail_msg("no temporary folder %s", text);
    return text;
}

static inline void remove_folder(const char *path)
{
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0) print_message("could not remove %s\n", path);
}

#endif
