/* Sums of monomials with weights, out[o] = sum_f w_fo prod (factors of f), for many rows at once; no monomial is held.
 *
 * The monomials of one table are a tree, summed as Horner does: f(node) = sum over its leaves of w z + sum over its
 * inner children of z f(child). A leaf costs one real weight times one variable, an inner node one complex product.
 * Nodes come in post-order, each with its leaves: the table is read from front to back, and all that is kept is one sum
 * for every depth. The leaves of a node all have the same charge. Charged factors stand before real ones, so that most
 * sums and most leaves are real. Rows run in the innermost, contiguous index, V vectors at a time, O outputs at a time.
 *
 * The file includes itself for every width of vectors, and then for both precisions.
 */
#ifndef BYTES

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { HAS_INNER = 1, COMPLEX_LEAVES = 2, FIRST = 4, COMPLEX_VARIABLE = 8, COMPLEX_SUM = 16 };

typedef struct { int32_t depth, re, im, n_leaves, flags; } node; /* re, im: rows of the parts of the variable */
typedef struct {
    const node *nodes;
    const int32_t *leaves; /* rows of variables, of complex leaves both parts */
    const void *weights;   /* [leaf, n_out] */
    int64_t n_nodes, n_out, re, im; /* first row of the answers, -1 where a part is not wanted */
} table;

#define JOIN(name, real, bytes) name##_##real##_##bytes
#define EXPAND(name, real, bytes) JOIN(name, real, bytes)
#define NAMED(name) EXPAND(name, REAL, BYTES)
#define INLINED TARGET static inline __attribute__((always_inline))
#define ARGUMENTS(real) \
    const table *tables, int64_t n_tables, const real *from, int64_t n, int64_t n_imaginary, int64_t stride, \
        int64_t first, int64_t last, real *out, int64_t out_stride, void *work

#define BYTES 16
#define TARGET
#include "_monomials.c"
#undef BYTES
#undef TARGET
#if defined(__x86_64__) && defined(__GNUC__)
#define BYTES 32
#define TARGET __attribute__((target("avx2,fma")))
#include "_monomials.c"
#undef BYTES
#undef TARGET
#define BYTES 64
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#include "_monomials.c"
#define HAS(bytes) \
    (bytes == 64 ? __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && \
                       __builtin_cpu_supports("avx512dq") \
                 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define WIDEST(real) \
    (widest >= 64 && HAS(64) ? rows_##real##_64 : widest >= 32 && HAS(32) ? rows_##real##_32 : rows_##real##_16)
#else
#define WIDEST(real) rows_##real##_16
#endif

/* Answers out [output, row] of tables of 1 to 4 outputs at rows first <= row < last of from [n, row], the last
 * n_imaginary of which are imaginary parts. work, 64-byte aligned, holds 128 bytes for each of n + n_imaginary + 1
 * parts, and 1024 for each depth and one more. Vectors have 64 bytes, or the most that the processor and widest allow. */
void hamlearn_monomials_float(int64_t widest, ARGUMENTS(float))
{
    WIDEST(float)(tables, n_tables, from, n, n_imaginary, stride, first, last, out, out_stride, work);
}

void hamlearn_monomials_double(int64_t widest, ARGUMENTS(double))
{
    WIDEST(double)(tables, n_tables, from, n, n_imaginary, stride, first, last, out, out_stride, work);
}

/* The functions are called through ctypes, which releases the interpreter lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_monomials", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__monomials(void) { return PyModule_Create(&module); }

#elif !defined(REAL)

#define REAL float
#include "_monomials.c"
#undef REAL
#define REAL double
#include "_monomials.c"
#undef REAL

#else

typedef REAL NAMED(vec) __attribute__((vector_size(BYTES)));
#define vec NAMED(vec)
#define LANES ((int64_t)(BYTES / sizeof(REAL)))

/* sums[part, o, v] += w_o z over n leaves: of one part where these are real, of two where they are complex. */
INLINED void NAMED(add_leaves)(const int32_t *leaf, const REAL *w, int32_t n, const int parts, const vec *variables,
                               vec *sums, const int V, const int O)
{
    for (int32_t l = 0; l < n; l++, leaf += parts, w += O)
        for (int part = 0; part < parts; part++)
            for (int v = 0; v < V; v++) {
                vec x = variables[leaf[part] * V + v];
                for (int o = 0; o < O; o++)
                    sums[(part * O + o) * V + v] += w[o] * x;
            }
}

/* The sums of one table, into above[re and im, O, V] of the root; sums of depth d stand at sums[d]. */
INLINED void NAMED(horner)(const table *t, const vec *variables, vec *sums, const int V, const int O)
{
    const int32_t *leaf = t->leaves;
    const REAL *w = t->weights;
    for (const node *n = t->nodes; n < t->nodes + t->n_nodes; n++) {
        vec own[2 * O * V], *re = own, *im = own + O * V;
        vec *below = sums + n->depth * 2 * O * V, *above = below - 2 * O * V;
        for (int k = 0; k < 2 * O * V; k++)
            own[k] = (n->flags & HAS_INNER) ? below[k] : (vec){0};
        if (n->flags & COMPLEX_LEAVES)
            NAMED(add_leaves)(leaf, w, n->n_leaves, 2, variables, own, V, O);
        else
            NAMED(add_leaves)(leaf, w, n->n_leaves, 1, variables, own, V, O);
        leaf += (n->flags & COMPLEX_LEAVES) ? 2 * n->n_leaves : n->n_leaves;
        w += O * n->n_leaves;
        if (n->flags & FIRST)
            for (int k = 0; k < 2 * O * V; k++)
                above[k] = (vec){0};
        for (int v = 0; v < V; v++) {
            vec x = variables[n->re * V + v], y = variables[n->im * V + v];
            for (int k = v; k < O * V; k += V) {
                above[k] += x * re[k];
                if (n->flags & COMPLEX_SUM)
                    above[O * V + k] += x * im[k];
                if (n->flags & COMPLEX_VARIABLE)
                    above[O * V + k] += y * re[k];
                if ((n->flags & COMPLEX_SUM) && (n->flags & COMPLEX_VARIABLE))
                    above[k] -= y * im[k];
            }
        }
    }
}

INLINED void NAMED(copy)(REAL *to, const REAL *from, int64_t rows, const int V)
{
    if (rows == V * LANES)
        memcpy(to, from, BYTES * V);
    else
        for (int64_t p = 0; p < rows; p++)
            to[p] = from[p];
}

/* Parts of the variables at some rows, V vectors of each, then the negative imaginary parts, then 1. */
INLINED void NAMED(load)(const REAL *from, int64_t n, int64_t n_imaginary, int64_t stride, int64_t rows, vec *to,
                         const int V)
{
    for (int64_t i = 0; i < n; i++, from += stride, to += V) {
        if (rows < V * LANES)
            memset(to, 0, BYTES * V); /* nothing subnormal, which would be slow */
        NAMED(copy)((REAL *)to, from, rows, V);
    }
    for (int64_t i = 0; i < n_imaginary * V; i++)
        to[i] = -to[i - n_imaginary * V];
    for (int v = 0; v < V; v++)
        to[n_imaginary * V + v] = (vec){0} + 1;
}

/* All tables at at most V vectors of rows; out and from begin at these. */
INLINED void NAMED(block)(const table *tables, int64_t n_tables, const REAL *from, int64_t n, int64_t n_imaginary,
                          int64_t stride, int64_t rows, REAL *out, int64_t out_stride, vec *work, const int V)
{
    vec *sums = work + (n + n_imaginary + 1) * V;
    NAMED(load)(from, n, n_imaginary, stride, rows, work, V);
    for (const table *t = tables; t < tables + n_tables; t++) {
        switch (t->n_out) {
        case 1: NAMED(horner)(t, work, sums, V, 1); break;
        case 2: NAMED(horner)(t, work, sums, V, 2); break;
        case 3: NAMED(horner)(t, work, sums, V, 3); break;
        default: NAMED(horner)(t, work, sums, V, 4);
        }
        for (int64_t o = 0; o < t->n_out; o++) {
            if (t->re >= 0)
                NAMED(copy)(out + (t->re + o) * out_stride, (const REAL *)(sums + o * V), rows, V);
            if (t->im >= 0)
                NAMED(copy)(out + (t->im + o) * out_stride, (const REAL *)(sums + (t->n_out + o) * V), rows, V);
        }
    }
}

TARGET static void NAMED(rows)(ARGUMENTS(REAL))
{
    for (int64_t row = first; row < last;) {
        int64_t rows = last - row;
        if (rows > LANES) {
            rows = rows < 2 * LANES ? rows : 2 * LANES;
            NAMED(block)(tables, n_tables, from + row, n, n_imaginary, stride, rows, out + row, out_stride, work, 2);
        } else
            NAMED(block)(tables, n_tables, from + row, n, n_imaginary, stride, rows, out + row, out_stride, work, 1);
        row += rows;
    }
}

#undef vec
#undef LANES
#endif
