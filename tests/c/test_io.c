/* The model file in memory: round trips, what must be accepted, what must be refused, damaged bytes.
 * With -DGRADCORE_FUZZ -fsanitize=fuzzer the same file is a libFuzzer target.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "check.h"

#include "../../src_c/files/io.h"
#include "../../src_c/files/io_internal.h"

static counter memory;
static const grc_allocator allocator = {counter_allocate, counter_release, &memory};

/* Parses a copy of exactly n bytes, so that reading past them is seen. */
static int parse(const void *bytes, size_t n, grc_io_file **out, grc_io_error *error)
{
    unsigned char *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, bytes, n);
    int status = grc_io_parse(copy, n, &allocator, out, error);
    free(copy);
    return status;
}

/* Encodes a parsed file again; the caller frees. */
static unsigned char *encode(const grc_io_file *file, uint64_t *size, int *status)
{
    size_t n = grc_io_tensor_count(file), m = grc_io_pair_count(file);
    grc_io_tensor *tensors = malloc((n + 1) * sizeof *tensors);
    grc_io_pair *pairs = malloc((m + 1) * sizeof *pairs);
    for (size_t i = 0; i < n; i++)
        tensors[i] = *grc_io_tensor_at(file, i);
    for (size_t i = 0; i < m; i++)
        pairs[i] = *grc_io_pair_at(file, i);
    unsigned char *bytes = NULL;
    *status = grc_io_size(tensors, n, pairs, m, size, NULL);
    if (*status == GRC_IO_OK) {
        bytes = malloc(*size);
        *status = grc_io_write_memory(bytes, *size, &allocator, tensors, n, pairs, m, NULL);
    }
    free(tensors);
    free(pairs);
    return bytes;
}

/* What is read can be written, and what is written reads as the same again. */
static int survives_rewriting(const grc_io_file *file)
{
    uint64_t size, size_again;
    int status;
    grc_io_file *again = NULL;
    unsigned char *bytes = encode(file, &size, &status), *bytes_again = NULL;
    int same = status == GRC_IO_OK && parse(bytes, size, &again, NULL) == GRC_IO_OK;
    if (same) {
        bytes_again = encode(again, &size_again, &status);
        same = status == GRC_IO_OK && size == size_again && memcmp(bytes, bytes_again, size) == 0;
        same = same && grc_io_tensor_count(file) == grc_io_tensor_count(again);
        for (size_t i = 0; same && i < grc_io_tensor_count(file); i++) {
            const grc_io_tensor *t = grc_io_tensor_at(file, i), *u = grc_io_tensor_named(again, t->name);
            same = u && t->bytes == u->bytes && t->ndim == u->ndim && t->dtype == u->dtype;
            same = same && (!t->bytes || memcmp(t->data, u->data, t->bytes) == 0);
        }
    }
    free(bytes);
    free(bytes_again);
    grc_io_close(again);
    return same;
}

#ifdef GRADCORE_FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    grc_io_file *file = NULL;
    if (grc_io_parse(bytes, n, &allocator, &file, NULL) == GRC_IO_OK && !survives_rewriting(file))
        abort();
    grc_io_close(file);
    if (memory.live || memory.live_bytes)
        abort();
    return 0;
}

#else

/* ---- Round trips ---- */

static const float f32[] = {1.0f, -2.5f, 3e-42f, 0.0f, -0.0f, 7.25f};
static const double f64[] = {1.0 / 3.0, -1e300};
static const unsigned char u8[] = {1, 2, 255};
static const int64_t i64[] = {-5};
static const grc_io_tensor sample[] = {
    {"0.weight", GRC_IO_F32, 2, {2, 3}, f32, sizeof f32},
    {"mask", GRC_IO_U8, 1, {3}, u8, sizeof u8},
    {"mean", GRC_IO_F64, 1, {2}, f64, sizeof f64},
    {"empty", GRC_IO_F32, 3, {4, 0, 2}, NULL, 0},
    {"step", GRC_IO_I64, 0, {0}, i64, sizeof i64},
    {"schl\xc3\xbcssel \"\\\x01\xf0\x9f\x98\x80", GRC_IO_F32, 4, {1, 1, 1, 1}, f32, 4},
};
static const grc_io_pair sample_meta[] = {
    {"format", "gradcore"},
    {"network", "{\"layers\": [\"a\\b\", \"\t\n\x7f\xe2\x82\xac\"]}"},
    {"empty", ""},
};
enum { SAMPLE = sizeof sample / sizeof *sample, SAMPLE_META = sizeof sample_meta / sizeof *sample_meta };

static unsigned char *sample_file(uint64_t *size)
{
    CHECK(grc_io_size(sample, SAMPLE, sample_meta, SAMPLE_META, size, NULL) == GRC_IO_OK);
    unsigned char *bytes = malloc(*size);
    CHECK(grc_io_write_memory(bytes, *size, &allocator, sample, SAMPLE, sample_meta, SAMPLE_META, NULL) == GRC_IO_OK);
    return bytes;
}

static uint64_t header_length(const unsigned char *bytes)
{
    uint64_t n = 0;
    for (int i = 8; i-- > 0;)
        n = n << 8 | bytes[i];
    return n;
}

static void test_round_trip(void)
{
    uint64_t size;
    unsigned char *bytes = sample_file(&size);
    grc_io_error error = {0};
    grc_io_file *file = NULL;
    CHECK(bytes[8] == '{');
    CHECK((8 + header_length(bytes)) % 64 == 0);
    CHECK_NOTE(parse(bytes, size, &file, &error) == GRC_IO_OK, "%s", error.message);
    CHECK(grc_io_tensor_count(file) == SAMPLE);
    CHECK(grc_io_pair_count(file) == SAMPLE_META);
    for (size_t i = 0; i < SAMPLE; i++) {
        const grc_io_tensor *t = grc_io_tensor_named(file, sample[i].name);
        CHECK(t && t->dtype == sample[i].dtype && t->ndim == sample[i].ndim && t->bytes == sample[i].bytes);
        CHECK(memcmp(t->shape, sample[i].shape, t->ndim * sizeof *t->shape) == 0);
        CHECK((uintptr_t)t->data % GRC_IO_ALIGNMENT == 0);
        CHECK(t->bytes ? memcmp(t->data, sample[i].data, t->bytes) == 0 : t->data == NULL);
    }
    const char *in_order[SAMPLE] = {"mean", "step", "0.weight", "empty", sample[5].name, "mask"};
    for (size_t i = 0; i < SAMPLE; i++)
        CHECK(strcmp(grc_io_tensor_at(file, i)->name, in_order[i]) == 0);
    for (size_t i = 0; i < SAMPLE_META; i++) {
        CHECK(strcmp(grc_io_metadata(file, sample_meta[i].key), sample_meta[i].value) == 0);
        CHECK(strcmp(grc_io_pair_at(file, i)->key, sample_meta[i].key) == 0);
    }
    CHECK(grc_io_metadata(file, "no such key") == NULL);
    CHECK(grc_io_tensor_named(file, "no such tensor") == NULL);
    CHECK(grc_io_tensor_at(file, SAMPLE) == NULL && grc_io_pair_at(file, SAMPLE_META) == NULL);
    CHECK(survives_rewriting(file));
    grc_io_close(file);
    free(bytes);

    CHECK(grc_io_size(NULL, 0, NULL, 0, &size, NULL) == GRC_IO_OK && size == 64);
    bytes = malloc(size);
    CHECK(grc_io_write_memory(bytes, size, NULL, NULL, 0, NULL, 0, NULL) == GRC_IO_OK);
    CHECK(parse(bytes, size, &file, NULL) == GRC_IO_OK && grc_io_tensor_count(file) == 0);
    CHECK(grc_io_metadata(file, "a") == NULL && grc_io_tensor_named(file, "a") == NULL);
    grc_io_close(file);
    free(bytes);
    grc_io_close(NULL);
}

static void test_dtypes(void)
{
    for (uint32_t d = 0; d < GRC_IO_DTYPE_COUNT; d++) {
        CHECK(grc_io_dtype_named(grc_io_dtype_name(d)) == d);
        CHECK(grc_io_dtype_size(d) >= 1 && grc_io_dtype_size(d) <= 8);
    }
    CHECK(grc_io_dtype_named("f32") == GRC_IO_DTYPE_COUNT && grc_io_dtype_named("") == GRC_IO_DTYPE_COUNT);
    CHECK(grc_io_dtype_name(GRC_IO_DTYPE_COUNT) == NULL && grc_io_dtype_size(1u << 31) == 0);
}

/* ---- What the writer refuses ---- */

static void refuse_writing(const char *what, grc_io_tensor t, grc_io_pair pair)
{
    unsigned char out[1024];
    grc_io_error error = {0};
    int status = grc_io_write_memory(out, sizeof out, &allocator, &t, 1, &pair, 1, &error);
    CHECK_NOTE(status == GRC_IO_ARGUMENT && error.message[0], "%s", what);
}

static void test_writer_arguments(void)
{
    static char long_name[300];
    memset(long_name, 'n', sizeof long_name - 1);
    const grc_io_pair pair = {"k", "v"};
    const grc_io_tensor good = {"w", GRC_IO_F32, 1, {2}, f32, 8};
    grc_io_tensor t;
#define WITH(change) (t = good, change, t)
    refuse_writing("NULL name", WITH(t.name = NULL), pair);
    refuse_writing("empty name", WITH(t.name = ""), pair);
    refuse_writing("long name", WITH(t.name = long_name), pair);
    refuse_writing("reserved name", WITH(t.name = "__metadata__"), pair);
    refuse_writing("UTF-8", WITH(t.name = "\xc0\x80"), pair);
    refuse_writing("cut UTF-8", WITH(t.name = "a\xe2\x82"), pair);
    refuse_writing("surrogate", WITH(t.name = "\xed\xa0\x80"), pair);
    refuse_writing("dtype", WITH(t.dtype = GRC_IO_DTYPE_COUNT), pair);
    refuse_writing("ndim", WITH(t.ndim = 5), pair);
    refuse_writing("bytes", WITH(t.bytes = 7), pair);
    refuse_writing("shape", WITH(t.shape[0] = UINT64_MAX), pair);
    refuse_writing("NULL data", WITH(t.data = NULL), pair);
    refuse_writing("NULL key", good, (grc_io_pair){NULL, "v"});
    refuse_writing("empty key", good, (grc_io_pair){"", "v"});
    refuse_writing("NULL value", good, (grc_io_pair){"k", NULL});
    refuse_writing("value UTF-8", good, (grc_io_pair){"k", "\xff"});

    unsigned char out[256];
    const grc_io_tensor twice[] = {good, good};
    const grc_io_pair pairs[] = {pair, pair};
    grc_io_error error;
    CHECK(grc_io_write_memory(out, 256, NULL, twice, 2, NULL, 0, &error) == GRC_IO_ARGUMENT);
    CHECK(strstr(error.message, "'w'") != NULL);
    CHECK(grc_io_write_memory(out, 256, NULL, NULL, 0, pairs, 2, &error) == GRC_IO_ARGUMENT);
    CHECK(grc_io_write_memory(out, 63, NULL, NULL, 0, NULL, 0, &error) == GRC_IO_ARGUMENT);
    CHECK(grc_io_write_memory(NULL, 64, NULL, NULL, 0, NULL, 0, &error) == GRC_IO_ARGUMENT);
    CHECK(grc_io_write_memory(out, 256, NULL, NULL, 1, NULL, 0, &error) == GRC_IO_ARGUMENT);
    const grc_io_tensor huge[] = {{"a", GRC_IO_U8, 1, {INT64_MAX}, out, INT64_MAX},
                                  {"b", GRC_IO_U8, 1, {INT64_MAX}, out, INT64_MAX},
                                  {"c", GRC_IO_U8, 1, {INT64_MAX}, out, INT64_MAX}};
    uint64_t size;
    CHECK(grc_io_size(huge, 3, NULL, 0, &size, &error) == GRC_IO_ARGUMENT);
    CHECK(grc_io_size(huge, 1, NULL, 0, &size, &error) == GRC_IO_ARGUMENT);
}

/* Names of every length up to the limit are taken, one byte more is not. */
static void test_longest_names(void)
{
    static char name[GRC_IO_MAX_NAME + 2];
    const grc_io_pair pair = {name, "v"};
    grc_io_tensor t = {name, GRC_IO_F32, 1, {2}, f32, 8};
    uint64_t size;
    for (size_t length = 1; length <= GRC_IO_MAX_NAME + 1; length++) {
        name[length - 1] = 'n';
        const int wanted = length <= GRC_IO_MAX_NAME ? GRC_IO_OK : GRC_IO_ARGUMENT;
        CHECK(grc_io_size(&t, 1, NULL, 0, &size, NULL) == wanted);
        CHECK(grc_io_size(NULL, 0, &pair, 1, &size, NULL) == wanted);
    }
}

/* Of all sequences of two to four bytes that begin like one, those are UTF-8 that encode a code point: 0x780 in two
 * bytes, 0xf800 less the surrogates in three, 0x100000 in four. */
static void test_utf8(void)
{
    long two = 0, three = 0, four = 0;
    char text[4];
    for (int a = 0x80; a < 0x100; a++)
        for (int b = 0; b < 0x100; b++) {
            text[0] = (char)a;
            text[1] = (char)b;
            const size_t n = grc_io_utf8(text, 2);
            CHECK(n == 0 || n == 2);
            two += n == 2;
            if (a < 0xe0)
                continue;
            for (int c = 0; c < 0x100; c++) {
                text[2] = (char)c;
                three += grc_io_utf8(text, 3) == 3;
                for (int d = 0; a >= 0xf0 && d < 0x100; d += c % 16 == 0 ? 1 : 64) {
                    text[3] = (char)d;
                    if (grc_io_utf8(text, 4) == 4)
                        four += c % 16 == 0 ? 1 : 64;
                }
            }
        }
    CHECK_NOTE(two == 0x780, "%ld of two bytes", two);
    CHECK_NOTE(three == 0xf800 - 0x800, "%ld of three bytes", three);
    CHECK_NOTE(four == 0x100000, "%ld of four bytes", four);
    CHECK(grc_io_utf8("\xc3", 1) == 0 && grc_io_utf8("\xe2\x82\xac", 2) == 0 && grc_io_utf8("", 0) == 0);
}

/* ---- Headers by hand ---- */

typedef struct header_case {
    const char *header;
    size_t data; /* bytes behind it */
} header_case;

static int parse_case(const header_case *h, grc_io_file **out, grc_io_error *error)
{
    uint64_t n = strlen(h->header);
    unsigned char *bytes = calloc(8 + n + h->data, 1);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(n >> 8 * i);
    memcpy(bytes + 8, h->header, n);
    int status = parse(bytes, 8 + n + h->data, out, error);
    free(bytes);
    return status;
}

#include "io_headers.inc"

/* Escapes are decoded, those of two halves to one code point. */
static void test_escapes(void)
{
    static const struct {
        const char *written, *read;
    } names[] = {
        {"\\u0041\\u00e9\\u20ac", "A\xc3\xa9\xe2\x82\xac"},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
        {"\\ud800\\udc00", "\xf0\x90\x80\x80"},
        {"\\uDBFF\\uDFFF", "\xf4\x8f\xbf\xbf"},
        {"\\n\\t\\r\\b\\f\\/\\\\\\\"", "\n\t\r\b\f/\\\""},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char header[200];
        grc_io_file *file = NULL;
        grc_io_error error = {0};
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                 names[i].written);
        CHECK_NOTE(parse_case(&(header_case){header, 1}, &file, &error) == GRC_IO_OK, "%s", error.message);
        CHECK(file && strcmp(grc_io_tensor_at(file, 0)->name, names[i].read) == 0);
        grc_io_close(file);
    }
}

static void test_headers(void)
{
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        grc_io_file *file = NULL;
        grc_io_error error = {0};
        int status = parse_case(&accepted[i], &file, &error);
        CHECK_NOTE(status == GRC_IO_OK, "%s: %s", accepted[i].header, error.message);
        CHECK_NOTE(file && survives_rewriting(file), "%s", accepted[i].header);
        grc_io_close(file);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        grc_io_file *file = NULL;
        grc_io_error error = {0};
        int status = parse_case(&refused[i], &file, &error);
        CHECK_NOTE(status == GRC_IO_FORMAT, "status %d for %s", status, refused[i].header);
        CHECK_NOTE(file == NULL && error.message[0], "%s", refused[i].header);
        grc_io_close(file);
        CHECK_NOTE(memory.live == 0 && memory.live_bytes == 0, "leak: %s", refused[i].header);
    }
    grc_io_file *file = NULL;
    const header_case text = {"{\"__metadata__\":{\"k\":\"\\u00e9\\ud83d\\ude00\\/\\u20AC\\n\"}}", 0};
    CHECK(parse_case(&text, &file, NULL) == GRC_IO_OK);
    CHECK(strcmp(grc_io_metadata(file, "k"), "\xc3\xa9\xf0\x9f\x98\x80/\xe2\x82\xac\n") == 0);
    grc_io_close(file);
}

static void test_length_prefix(void)
{
    const uint64_t lengths[] = {0,         1,          3,          55,  56,         100000000,
                                100000001, 1ull << 32, 1ull << 63, -8u, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char bytes[64];
        memset(bytes, ' ', sizeof bytes);
        memcpy(bytes + 8, "{}", 2);
        for (int k = 0; k < 8; k++)
            bytes[k] = (unsigned char)(lengths[i] >> 8 * k);
        grc_io_file *file = NULL;
        int status = parse(bytes, sizeof bytes, &file, NULL);
        CHECK_NOTE(status == (lengths[i] == 56 ? GRC_IO_OK : GRC_IO_FORMAT), "%llu", (unsigned long long)lengths[i]);
        grc_io_close(file);
        CHECK(memory.live == 0);
    }
    CHECK(grc_io_parse(NULL, 0, NULL, &(grc_io_file *){NULL}, NULL) == GRC_IO_FORMAT);
    CHECK(grc_io_parse(NULL, 9, NULL, &(grc_io_file *){NULL}, NULL) == GRC_IO_ARGUMENT);
}

/* ---- Damaged files ---- */

static void test_truncation(void)
{
    uint64_t size;
    unsigned char *bytes = sample_file(&size);
    bytes = realloc(bytes, size + 1);
    bytes[size] = 0;
    for (uint64_t n = 0; n <= size + 1; n++) {
        grc_io_file *file = NULL;
        int status = parse(bytes, n, &file, NULL);
        CHECK_NOTE(status == (n == size ? GRC_IO_OK : GRC_IO_FORMAT), "%llu bytes", (unsigned long long)n);
        grc_io_close(file);
        CHECK(memory.live == 0);
    }
    free(bytes);
}

static void test_bit_flips(void)
{
    uint64_t size;
    unsigned char *bytes = sample_file(&size);
    uint64_t header = 8 + header_length(bytes);
    for (uint64_t bit = 0; bit < 8 * header; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        grc_io_file *file = NULL;
        int status = parse(bytes, size, &file, NULL);
        CHECK_NOTE(status == GRC_IO_OK || status == GRC_IO_FORMAT, "bit %llu", (unsigned long long)bit);
        CHECK_NOTE(!file || survives_rewriting(file), "bit %llu", (unsigned long long)bit);
        grc_io_close(file);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    CHECK(memory.live == 0);
    free(bytes);
}

/* ---- Work and memory in proportion to the file ---- */

static void test_many_names(void)
{
    enum { MANY = 100000 };
    char *header = malloc(MANY * 80), *to = header;
    for (int i = 0; i < MANY; i++)
        to += sprintf(to, "%c\"%0*d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? ',' : '{', 8,
                      MANY - i, MANY - 1 - i, MANY - i);
    strcpy(to, "}");
    const header_case h = {header, MANY};
    grc_io_file *file = NULL;
    CHECK(parse_case(&h, &file, NULL) == GRC_IO_OK);
    CHECK(grc_io_tensor_count(file) == MANY && grc_io_tensor_named(file, "00000001") != NULL);
    CHECK(strcmp(grc_io_tensor_at(file, 0)->name, "00000001") == 0);
    grc_io_close(file);
    memcpy(header + 2, "00000001", 8); /* the name of the last one */
    grc_io_error error;
    CHECK(parse_case(&h, &file, &error) == GRC_IO_FORMAT && strstr(error.message, "'00000001' twice"));

    header = realloc(header, (size_t)GRC_IO_MAX_ITEMS * 16);
    to = header + sprintf(header, "{\"__metadata__\":{");
    for (int i = 0; i <= GRC_IO_MAX_ITEMS; i++)
        to += sprintf(to, "%s\"%x\":\"\"", i ? "," : "", (unsigned)i);
    strcpy(to, "}}");
    CHECK(parse_case(&(header_case){header, 0}, &file, &error) == GRC_IO_FORMAT);
    CHECK(strstr(error.message, "2^20") != NULL);
    CHECK(memory.live == 0);
    free(header);
}

static void test_failing_allocations(void)
{
    uint64_t size;
    unsigned char *bytes = sample_file(&size);
    int status = GRC_IO_NO_MEMORY;
    for (long n = 1; status != GRC_IO_OK; n++) {
        grc_io_file *file = NULL;
        grc_io_error error = {0};
        memory.calls = 0;
        memory.fail_at = n;
        status = parse(bytes, size, &file, &error);
        CHECK_NOTE(status == (memory.calls < n ? GRC_IO_OK : GRC_IO_NO_MEMORY), "allocation %ld", n);
        CHECK(status == GRC_IO_OK || error.message[0]);
        grc_io_close(file);
        CHECK(memory.live == 0 && memory.live_bytes == 0);
    }
    memory.calls = 0;
    memory.fail_at = 1;
    CHECK(grc_io_write_memory(bytes, size, &allocator, sample, SAMPLE, sample_meta, SAMPLE_META, NULL)
          == GRC_IO_NO_MEMORY);
    memory.fail_at = 0;
    free(bytes);
}

int main(void)
{
    test_round_trip();
    test_dtypes();
    test_writer_arguments();
    test_longest_names();
    test_utf8();
    test_escapes();
    test_headers();
    test_length_prefix();
    test_truncation();
    test_bit_flips();
    test_many_names();
    test_failing_allocations();
    CHECK(memory.live == 0 && memory.live_bytes == 0);
    return check_report();
}

#endif
