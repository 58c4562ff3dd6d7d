/* Integrals over O(3) of products t(R) P(f_a(R) + f_b(R)) with Wigner functions, from values at the nodes of a grid.
 *
 * This is the arithmetic of kernels of atom pairs: f_a and f_b are the kernels of the two environments, t, that of the
 * two bonds, is a polynomial of the cosine x between one bond and the other one rotated, and P is the polynomial that
 * mixes orders. Nodes come as rotations and their products with the inversion, at which x and the odd Wigner functions
 * change sign. Nodes are taken NODES at a time in the outer loop, so that the values of all environments stay in the
 * cache while every pair of bonds uses them.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef double vec __attribute__((vector_size(32)));
typedef double unaligned_vec __attribute__((vector_size(32), aligned(8)));
enum { NODES = 32, STEP = 16, VECS = STEP / 4 };

typedef struct { int64_t a, b, left, right; } term; /* rows of functions, left directions, rotated right directions */

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_THIS_CPU __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_THIS_CPU
#endif

#define AT(from, v) (((const unaligned_vec *)(from))[v])

/* P(f_a + f_b) at STEP nodes. */
static inline __attribute__((always_inline)) void mixture(const double *fa, const double *fb, const double *c, int64_t n,
                                                          vec *out)
{
    vec s[VECS];
    for (int v = 0; v < VECS; v++) {
        s[v] = AT(fa, v) + AT(fb, v);
        out[v] = (vec){0};
    }
    for (int64_t k = n - 1; k >= 0; k--)
        for (int v = 0; v < VECS; v++)
            out[v] = out[v] * s[v] + c[k];
}

/* Even and odd part of the polynomial of x at STEP nodes. */
static inline __attribute__((always_inline)) void bond(const double *u, const double *v, int64_t n_nodes,
                                                       const double *c, int64_t n, vec *even, vec *odd)
{
    vec x[VECS], y[VECS];
    for (int k = 0; k < VECS; k++) {
        x[k] = u[0] * AT(v, k) + u[1] * AT(v + n_nodes, k) + u[2] * AT(v + 2 * n_nodes, k);
        y[k] = x[k] * x[k];
        even[k] = odd[k] = (vec){0};
    }
    for (int64_t p = (n - 1) & ~1; p >= 0; p -= 2)
        for (int k = 0; k < VECS; k++)
            even[k] = even[k] * y[k] + c[p];
    for (int64_t p = (n & ~1) - 1; p >= 1; p -= 2)
        for (int k = 0; k < VECS; k++)
            odd[k] = odd[k] * y[k] + c[p];
    for (int k = 0; k < VECS; k++)
        odd[k] *= x[k];
}

/* sums[c] += f w[c] at STEP nodes. */
static inline __attribute__((always_inline)) void add(const vec *f, const double *w, int64_t n_nodes, int64_t n,
                                                      vec *sums)
{
    for (int64_t c = 0; c < n; c++, w += n_nodes)
        sums[c] += (f[0] * AT(w, 0) + f[1] * AT(w, 1)) + (f[2] * AT(w, 2) + f[3] * AT(w, 3));
}

/* out[t, c] += sum over nodes of w[c] t(R) P(f_a(R) + f_b(R)), for terms first <= t < last; out starts as zero.
 * functions [row, 2, n_nodes]: at rotations, then at their products with the inversion; left [row, 3];
 * right [row, 3, n_nodes]; bonds [term, n_bond]; weights [n_even + n_odd, n_nodes], even ones first.
 * work holds n_even + n_odd vectors; n_nodes is a multiple of NODES. */
FOR_THIS_CPU
void hamlearn_integrals(int64_t first, int64_t last, const term *terms, const double *functions, const double *left,
                        const double *right, const double *bonds, int64_t n_bond, const double *orders,
                        int64_t n_orders, const double *weights, int64_t n_even, int64_t n_odd, int64_t n_nodes,
                        double *out, double *work)
{
    int64_t n_out = n_even + n_odd;
    vec *sums = (vec *)work;
    for (int64_t node = 0; node < n_nodes; node += NODES)
        for (int64_t t = first; t < last; t++) {
            const double *fa = functions + 2 * n_nodes * terms[t].a, *fb = functions + 2 * n_nodes * terms[t].b;
            const double *u = left + 3 * terms[t].left, *v = right + 3 * n_nodes * terms[t].right;
            memset(sums, 0, n_out * sizeof(vec));
            for (int64_t k = node; k < node + NODES; k += STEP) {
                vec even[VECS], odd[VECS], plus[VECS], minus[VECS];
                bond(u, v + k, n_nodes, bonds + n_bond * t, n_bond, even, odd);
                mixture(fa + k, fb + k, orders, n_orders, plus);
                mixture(fa + n_nodes + k, fb + n_nodes + k, orders, n_orders, minus);
                for (int i = 0; i < VECS; i++) {
                    vec proper = plus[i] * (even[i] + odd[i]), improper = minus[i] * (even[i] - odd[i]);
                    plus[i] = proper + improper;
                    minus[i] = proper - improper;
                }
                add(plus, weights + k, n_nodes, n_even, sums);
                add(minus, weights + n_nodes * n_even + k, n_nodes, n_odd, sums + n_even);
            }
            for (int64_t c = 0; c < n_out; c++)
                out[n_out * t + c] += (sums[c][0] + sums[c][1]) + (sums[c][2] + sums[c][3]);
        }
}

/* Values of n functions at all nodes [function, 2, 4, n_eighth] from the parts of eight sign patterns
 * [8, function, n_eighth]: element g multiplies pattern s by -1 to the number of bits they share. */
FOR_THIS_CPU
void hamlearn_unfold(int64_t n, int64_t n_eighth, const double *parts, double *out)
{
    for (int64_t f = 0; f < n; f++)
        for (int64_t k = 0; k < n_eighth; k += 4) {
            vec x[8];
            for (int s = 0; s < 8; s++)
                x[s] = AT(parts + (s * n + f) * n_eighth + k, 0);
            for (int bit = 1; bit < 8; bit *= 2)
                for (int s = 0; s < 8; s++)
                    if (!(s & bit)) {
                        vec sum = x[s] + x[s | bit];
                        x[s | bit] = x[s] - x[s | bit];
                        x[s] = sum;
                    }
            for (int g = 0; g < 8; g++)
                *(unaligned_vec *)(out + ((2 * f + (g & 1)) * 4 + (g >> 1)) * n_eighth + k) = x[g];
        }
}

/* The functions are called through ctypes, which releases the interpreter lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_integrals", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__integrals(void) { return PyModule_Create(&module); }
