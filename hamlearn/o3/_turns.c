/* Wigner matrices of real harmonics, D^l of D^1 and D^(l-1), for as many rotations at once as a vector has numbers.
 *
 * Source: Ivanic, Ruedenberg, J. Phys. Chem. 100, 6342 (1996), eq. 8.1 and tables 1 and 2, as corrected in J. Phys.
 * Chem. A 102, 9099 (1998).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { WIDTH = 8, MOST_L = 12 };

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_THIS_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_THIS_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

typedef double vec __attribute__((vector_size(8 * WIDTH)));

/* P(i; a, b) of table 2, from D^1 and D^(l-1). */
INLINE vec product(const vec *one, const vec *below, int64_t l, int64_t i, int64_t a, int64_t b)
{
    const vec *r = one + 3 * i + 4, *d = below + (a + l - 1) * (2 * l - 1) + l - 1;
    if (b == l)
        return r[1] * d[l - 1] - r[-1] * d[1 - l];
    if (b == -l)
        return r[1] * d[1 - l] + r[-1] * d[l - 1];
    return r[0] * d[b];
}

/* Element (m, n) of D^l with the coefficients u, v and w of table 1, factors of V included. */
INLINE vec element(const vec *one, const vec *below, int64_t l, int64_t m, int64_t n, const double *c)
{
    int64_t size = m < 0 ? -m : m, side = m < 0 ? -1 : 1;
    double sign = side;
    vec out = {0};
    if (c[0] != 0)
        out += c[0] * product(one, below, l, 0, m, n);
    if (m == 0)
        out += c[1] * (product(one, below, l, 1, 1, n) + product(one, below, l, -1, -1, n));
    else {
        if (size > 1 || m > 0)
            out += c[1] * product(one, below, l, 1, side * (size - 1), n);
        if (size > 1 || m < 0)
            out -= sign * c[1] * product(one, below, l, -1, side * (1 - size), n);
    }
    if (c[2] != 0)
        out += c[2] * (product(one, below, l, 1, side * (size + 1), n) +
                       sign * product(one, below, l, -1, -side * (size + 1), n));
    return out;
}

/* D^l of n rotations [rotation, 3, 3] (axes x, y, z) into out[l][rotation, 2l+1, 2l+1] for l = 0 ... max_l; coefficients
 * of l = 2 ... max_l [2l+1, 2l+1, 3]. */
FOR_THIS_CPU
void hamlearn_turns(int64_t n, int64_t max_l, const double *rotations, const double *coefficients, double *const *out)
{
    static const int64_t axes[3] = {1, 2, 0}; /* y, z, x */
    for (int64_t row = 0; row < n; row += WIDTH) {
        int64_t rows = n - row < WIDTH ? n - row : WIDTH;
        vec one[9], both[2][(2 * MOST_L + 1) * (2 * MOST_L + 1)];
        for (int k = 0; k < 9; k++) {
            one[k] = (vec){0};
            for (int64_t i = 0; i < rows; i++)
                one[k][i] = rotations[9 * (row + i) + 3 * axes[k / 3] + axes[k % 3]];
        }
        const double *c = coefficients;
        for (int64_t l = 0; l <= max_l; l++) {
            int64_t width = 2 * l + 1;
            const vec *below = l == 2 ? one : both[(l + 1) % 2];
            vec *d = both[l % 2];
            for (int64_t k = 0; k < width * width; k++) {
                if (l == 0)
                    d[k] = (vec){0} + 1;
                else if (l == 1)
                    d[k] = one[k];
                else
                    d[k] = element(one, below, l, k / width - l, k % width - l, c), c += 3;
                for (int64_t i = 0; i < rows; i++)
                    out[l][(row + i) * width * width + k] = d[k][i];
            }
        }
    }
}

/* The function is called through ctypes, which releases the interpreter lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_turns", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__turns(void) { return PyModule_Create(&module); }
