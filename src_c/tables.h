/* The registry: one row per activation, loss, optimizer, instruction set and status.
 * Enums, names, kernel tables, the Python lists, the docs and the completeness test come from these
 * rows; nothing else in the project enumerates them. Append rows at the end: their order is stored
 * nowhere (files use the names), but golden tests print it.
 */
#ifndef GRC_TABLES_H
#define GRC_TABLES_H

/* name, what backward needs (NOTHING, OUTPUT or INPUT, the pre-activation), default alpha,
 * lowest legal alpha (alpha below it is refused), default initialiser, one line for the docs. */
#define GRC_ACTIVATIONS(X)                                                                            \
    X(identity, NOTHING, 0.0, 0.0, glorot_uniform, "x")                                               \
    X(relu, OUTPUT, 0.0, 0.0, he_normal, "max(x, 0)")                                                 \
    X(leaky_relu, OUTPUT, 0.01, 0.0, he_normal, "x > 0 ? x : alpha x")                                \
    X(tanh, OUTPUT, 0.0, 0.0, glorot_uniform, "tanh(x)")                                              \
    X(sigmoid, OUTPUT, 0.0, 0.0, glorot_uniform, "1 / (1 + exp(-x))")                                 \
    X(elu, OUTPUT, 1.0, 0.0, he_normal, "x > 0 ? x : alpha (exp(x) - 1)")                             \
    X(selu, OUTPUT, 0.0, 0.0, lecun_normal, "1.0507 (x > 0 ? x : 1.67326 (exp(x) - 1))")              \
    X(gelu, INPUT, 0.0, 0.0, he_normal, "x (1 + erf(x / sqrt 2)) / 2")                                \
    X(silu, INPUT, 0.0, 0.0, he_normal, "x / (1 + exp(-x))")                                          \
    X(softplus, INPUT, 0.0, 0.0, he_normal, "log(1 + exp(x))")

/* name, target kind (VALUES: real matrix; LABELS: int32 class ids), one line for the docs. */
#define GRC_LOSSES(X)                                                                                 \
    X(mse, VALUES, "mean over rows and outputs of (output - target)^2")                               \
    X(cross_entropy, LABELS, "mean over rows of -log softmax(logits)[label]")                         \
    X(binary_cross_entropy, VALUES, "mean over rows and outputs of softplus(z) - target z")

/* name, what each of its three state slots is there for (ALWAYS, ABSENT, or only with MOMENTUM or
 * CENTERED), names of its own hyperparameters p[0..4] in order. */
#define GRC_OPTIMIZERS(X)                                                                             \
    X(sgd, MOMENTUM, ABSENT, ABSENT, "momentum")                                                      \
    X(rmsprop, ALWAYS, CENTERED, MOMENTUM, "alpha eps momentum")                                      \
    X(adam, ALWAYS, ALWAYS, ABSENT, "beta1 beta2 eps")                                                \
    X(adamw, ALWAYS, ALWAYS, ABSENT, "beta1 beta2 eps")

/* Op class (its file in ops/ defines grc_op_<name>), the layer kind that makes it. */
#define GRC_OPS(X)                                                                                    \
    X(dense, "dense")                                                                                 \
    X(activation, "activation")                                                                       \
    X(dropout, "dropout")                                                                             \
    X(standardize, "standardize")                                                                     \
    X(fork, "residual")                                                                               \
    X(join, "end")                                                                                    \
    X(layer_norm, "layer_norm")                                                                       \
    X(rms_norm, "rms_norm")                                                                           \
    X(batch_norm, "batch_norm")                                                                       \
    X(layer_scale, "layer_scale")                                                                     \
    X(alpha_dropout, "alpha_dropout")                                                                 \
    X(gaussian_noise, "gaussian_noise")

/* Slowest first: the last one that the machine and the user allow is chosen. */
#define GRC_ISAS(X)                                                                                   \
    X(scalar)                                                                                         \
    X(neon)                                                                                           \
    X(avx2)                                                                                           \
    X(avx512)

enum grc_saves { GRC_SAVES_NOTHING, GRC_SAVES_OUTPUT, GRC_SAVES_INPUT };

#define GRC_ENUM_ACT(name, ...) GRC_ACT_##name,
#define GRC_ENUM_LOSS(name, ...) GRC_LOSS_##name,
#define GRC_ENUM_OPT(name, ...) GRC_OPT_##name,
#define GRC_ENUM_ISA(name) GRC_ISA_##name,
enum grc_activation { GRC_ACTIVATIONS(GRC_ENUM_ACT) GRC_ACT_COUNT };
enum grc_loss { GRC_LOSSES(GRC_ENUM_LOSS) GRC_LOSS_COUNT };
enum grc_optimizer { GRC_OPTIMIZERS(GRC_ENUM_OPT) GRC_OPT_COUNT };
enum grc_isa { GRC_ISAS(GRC_ENUM_ISA) GRC_ISA_COUNT };

#endif
