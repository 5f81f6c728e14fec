/* C99's complex functions, which NumPy for Windows imports from the C runtime, and wine's lacks.
 *
 * Only for tests under wine: they are right to about the precision of their type, not to its last bit. */
#include <math.h>

typedef struct {
    double re, im;
} D;
typedef struct {
    float re, im;
} F;
typedef double _Complex C;

static C complex_of(double re, double im) {
    C z;
    __real__ z = re;
    __imag__ z = im;
    return z;
}
static D wide(C z) { return (D){__real__ z, __imag__ z}; }
static F narrow(C z) { return (F){(float)__real__ z, (float)__imag__ z}; }

static double absolute(C z) { return hypot(__real__ z, __imag__ z); }
static double argument(C z) { return atan2(__imag__ z, __real__ z); }
static double real(C z) { return __real__ z; }
static double imaginary(C z) { return __imag__ z; }
static C times_i(C z) { return complex_of(-__imag__ z, __real__ z); }
static C exponential(C z) {
    double e = exp(__real__ z);
    return complex_of(e * cos(__imag__ z), e * sin(__imag__ z));
}
static C logarithm(C z) { return complex_of(log(absolute(z)), argument(z)); }
static C power(C a, C b) { return exponential(b * logarithm(a)); }
static C root(C z) { return absolute(z) == 0 ? z : exponential(0.5 * logarithm(z)); }
static C hyperbolic_sine(C z) {
    double a = __real__ z, b = __imag__ z;
    return complex_of(sinh(a) * cos(b), cosh(a) * sin(b));
}
static C hyperbolic_cosine(C z) {
    double a = __real__ z, b = __imag__ z;
    return complex_of(cosh(a) * cos(b), sinh(a) * sin(b));
}
static C hyperbolic_tangent(C z) { return hyperbolic_sine(z) / hyperbolic_cosine(z); }
static C sine(C z) { return -times_i(hyperbolic_sine(times_i(z))); }
static C cosine(C z) { return hyperbolic_cosine(times_i(z)); }
static C tangent(C z) { return sine(z) / cosine(z); }

/* Each for double, long double, which is double there, and float. */
#define PART(NAME, OF)                                                       \
    double own_##NAME(D z) { return OF(complex_of(z.re, z.im)); }            \
    double own_##NAME##l(D z) { return OF(complex_of(z.re, z.im)); }         \
    float own_##NAME##f(F z) { return (float)OF(complex_of(z.re, z.im)); }
#define OF_ONE(NAME, OF)                                                     \
    D own_##NAME(D z) { return wide(OF(complex_of(z.re, z.im))); }           \
    D own_##NAME##l(D z) { return wide(OF(complex_of(z.re, z.im))); }        \
    F own_##NAME##f(F z) { return narrow(OF(complex_of(z.re, z.im))); }
#define OF_TWO(NAME, OF)                                                                              \
    D own_##NAME(D a, D b) { return wide(OF(complex_of(a.re, a.im), complex_of(b.re, b.im))); }       \
    D own_##NAME##l(D a, D b) { return wide(OF(complex_of(a.re, a.im), complex_of(b.re, b.im))); }    \
    F own_##NAME##f(F a, F b) { return narrow(OF(complex_of(a.re, a.im), complex_of(b.re, b.im))); }

PART(cabs, absolute)
PART(carg, argument)
PART(creal, real)
PART(cimag, imaginary)
OF_ONE(cexp, exponential)
OF_ONE(clog, logarithm)
OF_ONE(csqrt, root)
OF_ONE(csinh, hyperbolic_sine)
OF_ONE(ccosh, hyperbolic_cosine)
OF_ONE(ctanh, hyperbolic_tangent)
OF_ONE(csin, sine)
OF_ONE(ccos, cosine)
OF_ONE(ctan, tangent)
OF_TWO(cpow, power)
