/* The registry: one row per activation, loss, optimizer, instruction set and status.
 * Enums, names, kernel tables, the Python lists, the docs and the completeness test come from these
 * rows; nothing else in the project enumerates them. Append rows at the end: their order is stored
 * nowhere (files use the names), but golden tests print it.
 */
#ifndef GRC_TABLES_H
#define GRC_TABLES_H

/* name, what backward needs (NOTHING, OUTPUT or INPUT, the pre-activation), default alpha,
 * lowest legal alpha (alpha below it is refused), default initialiser, one line for the docs. */
#define GRC_ACTIVATIONS(X)                                                                        \
    X(identity, NOTHING, 0.0, 0.0, glorot_uniform, "x")                                           \
    X(relu, OUTPUT, 0.0, 0.0, he_normal, "max(x, 0)")                                             \
    X(leaky_relu, OUTPUT, 0.01, 0.0, he_normal, "x > 0 ? x : alpha x")                            \
    X(tanh, OUTPUT, 0.0, 0.0, glorot_uniform, "tanh(x)")                                          \
    X(sigmoid, OUTPUT, 0.0, 0.0, glorot_uniform, "1 / (1 + exp(-x))")                             \
    X(elu, OUTPUT, 1.0, 0.0, he_normal, "x > 0 ? x : alpha (exp(x) - 1)")                         \
    X(selu, OUTPUT, 0.0, 0.0, lecun_normal, "1.0507 (x > 0 ? x : 1.67326 (exp(x) - 1))")          \
    X(gelu, INPUT, 0.0, 0.0, he_normal, "x (1 + erf(x / sqrt 2)) / 2")                            \
    X(silu, INPUT, 0.0, 0.0, he_normal, "x / (1 + exp(-x))")                                      \
    X(softplus, INPUT, 0.0, 0.0, he_normal, "log(1 + exp(x))")                                    \
    X(celu, OUTPUT, 1.0, 1e-6, he_normal, "x > 0 ? x : alpha (exp(x / alpha) - 1)")               \
    X(gelu_tanh, INPUT, 0.0, 0.0, he_normal, "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2") \
    X(mish, INPUT, 0.0, 0.0, he_normal, "x tanh(log(1 + exp(x)))")                                \
    X(hard_swish, INPUT, 0.0, 0.0, he_normal, "x min(max(x + 3, 0), 6) / 6")                      \
    X(hard_sigmoid, INPUT, 0.0, 0.0, glorot_uniform, "min(max(x + 3, 0), 6) / 6")                 \
    X(hard_tanh, OUTPUT, 0.0, 0.0, glorot_uniform, "min(max(x, -1), 1)")                          \
    X(relu6, OUTPUT, 0.0, 0.0, he_normal, "min(max(x, 0), 6)")                                    \
    X(softsign, INPUT, 0.0, 0.0, glorot_uniform, "x / (1 + |x|)")                                 \
    X(log_sigmoid, INPUT, 0.0, 0.0, glorot_uniform, "-log(1 + exp(-x))")                          \
    X(exponential, OUTPUT, 0.0, 0.0, glorot_uniform, "exp(x)")                                    \
    X(sin, INPUT, 30.0, 1e-6, siren, "sin(alpha x)")                                              \
    X(squareplus, INPUT, 4.0, 1e-6, he_normal, "(x + sqrt(x^2 + alpha)) / 2")                     \
    X(gaussian, INPUT, 0.0, 0.0, glorot_uniform, "exp(-x^2)")

/* What users ask of an activation. name, its values, where its derivative dies (is 0, or fades), and the
 * largest error of f in float32, in ULP, where |f| >= 2^-100 and alpha is 1 or the default. */
#define GRC_ACTIVATION_FACTS(X)                                                                    \
    X(identity, "all numbers", "nowhere", 0.0)                                                     \
    X(relu, "[0, inf)", "0 for x <= 0", 0.0)                                                       \
    X(leaky_relu, "all numbers", "nowhere; alpha for x <= 0", 0.5)                                 \
    X(tanh, "[-1, 1]", "fades in both tails, exp(-2 |x|)", 1.5)                                    \
    X(sigmoid, "[0, 1]", "fades in both tails, exp(-|x|); 1/4 at most", 2.4)                       \
    X(elu, "[-alpha, inf)", "fades for x < 0, exp(x)", 1.7)                                        \
    X(selu, "[-1.7581, inf)", "fades for x < 0, exp(x)", 1.8)                                      \
    X(gelu, "[-0.17, inf)", "fades for x < 0, exp(-x^2 / 2); 0 at -0.752", 5.5)                    \
    X(silu, "[-0.2785, inf)", "fades for x < 0, exp(x); 0 at -1.278", 3.0)                         \
    X(softplus, "[0, inf)", "fades for x < 0, exp(x)", 1.7)                                        \
    X(celu, "[-alpha, inf)", "fades for x < 0, exp(x / alpha)", 2.2)                               \
    X(gelu_tanh, "[-0.1701, inf)", "fades for x < 0, faster than exp(-x^2 / 2); 0 at -0.753", 4.0) \
    X(mish, "[-0.3089, inf)", "fades for x < 0, exp(x); 0 at -1.192", 3.7)                         \
    X(hard_swish, "[-0.375, inf)", "0 for x <= -3 and at -1.5", 2.0)                               \
    X(hard_sigmoid, "[0, 1]", "0 for |x| >= 3; 1/6 between", 1.0)                                  \
    X(hard_tanh, "[-1, 1]", "0 for |x| >= 1", 0.0)                                                 \
    X(relu6, "[0, 6]", "0 for x <= 0 and x >= 6", 0.0)                                             \
    X(softsign, "[-1, 1]", "fades in both tails, only as 1 / x^2", 1.6)                            \
    X(log_sigmoid, "(-inf, 0]", "fades for x > 0, exp(-x)", 1.7)                                   \
    X(exponential, "[0, inf]", "fades for x < 0, exp(x); explodes for x > 0", 1.1)                 \
    X(sin, "[-1, 1]", "0 at odd multiples of pi / (2 alpha), nowhere for long", 1.0)               \
    X(squareplus, "[0, inf)", "fades for x < 0, only as alpha / (4 x^2)", 2.0)                     \
    X(gaussian, "[0, 1]", "0 at 0; fades in both tails, exp(-x^2)", 1.6)

/* What a parameter of a loss may be. name, its ends, whether they are OUTSIDE of it or INSIDE, its text. */
#define GRC_RANGES(X)                                                  \
    X(positive, 0.0, 1e30, OUTSIDE, "a number above 0 and below 1e30") \
    X(not_negative, 0.0, 1e30, INSIDE, "a number from 0 to 1e30")      \
    X(share, 0.0, 1.0, INSIDE, "a number in [0, 1]")                   \
    X(inside, 0.0, 1.0, OUTSIDE, "a number in (0, 1)")                 \
    X(flag, 0.0, 1.0, INSIDE, "0 or 1")

/* name, target kind (VALUES: real matrix; LABELS: int32 class ids; HALVES: real matrix, two outputs for each
 * of its columns), whether predictions can be right
 * (REGRESSES or CLASSIFIES), the name of its vector option ("" for none), one P(name, default, range) for each of
 * its parameters p[0..3], or A(name, range) where it may be absent, one line for the docs. */
#define GRC_LOSSES(X, P, A)                                                                                    \
    X(mse, VALUES, REGRESSES, "", , "mean over rows and outputs of (output - target)^2")                       \
    X(cross_entropy, LABELS, CLASSIFIES, "class_weight", P(label_smoothing, 0, share),                         \
      "mean over rows of -log softmax(logits)[label]")                                                         \
    X(binary_cross_entropy, VALUES, CLASSIFIES, "pos_weight", ,                                                \
      "mean over rows and outputs of softplus(z) - target z")                                                  \
    X(mae, VALUES, REGRESSES, "", , "mean over rows and outputs of |output - target|")                         \
    X(huber, VALUES, REGRESSES, "", P(delta, 1, positive),                                                     \
      "mean over rows and outputs of |e| <= delta ? e^2 / 2 : delta (|e| - delta / 2)")                        \
    X(smooth_l1, VALUES, REGRESSES, "", P(beta, 1, not_negative),                                              \
      "mean over rows and outputs of |e| < beta ? e^2 / (2 beta) : |e| - beta / 2")                            \
    X(log_cosh, VALUES, REGRESSES, "", , "mean over rows and outputs of log cosh(output - target)")            \
    X(quantile, VALUES, REGRESSES, "", P(q, 0.5, inside),                                                      \
      "mean over rows and outputs of max(q (target - output), (1 - q) (output - target))")                     \
    X(poisson, VALUES, REGRESSES, "", P(log_input, 1, flag) P(full, 0, flag) P(eps, 1e-8, positive),           \
      "mean over rows and outputs of exp(z) - target z, or z - target log(z + eps)")                           \
    X(gaussian_nll, HALVES, REGRESSES, "", P(log_variance, 1, flag) P(full, 0, flag) P(eps, 1e-6, positive),   \
      "mean over rows and means of (log variance + (mean - target)^2 / variance) / 2")                         \
    X(cosine, VALUES, REGRESSES, "", P(eps, 1e-8, positive),                                                   \
      "mean over rows of 1 - output . target / (max(|output|, eps) max(|target|, eps))")                       \
    X(hinge, VALUES, CLASSIFIES, "", , "mean over rows and outputs of max(0, 1 - s z), s = -1 or 1")           \
    X(squared_hinge, VALUES, CLASSIFIES, "", , "mean over rows and outputs of max(0, 1 - s z)^2, s = -1 or 1") \
    X(binary_focal, VALUES, CLASSIFIES, "", P(gamma, 2, not_negative) A(alpha, share),                         \
      "mean over rows and outputs of alpha_t (1 - p_t)^gamma (-log p_t)")                                      \
    X(focal, LABELS, CLASSIFIES, "alpha", P(gamma, 2, not_negative),                                           \
      "mean over rows of alpha[label] (1 - p)^gamma (-log p), p = softmax(logits)[label]")                     \
    X(kl_divergence, VALUES, REGRESSES, "", , "mean over rows of sum of target (log target - log softmax(logits))")

/* name; kind: ELEMENTWISE (a pure function of w, g and slots at one element, so it may run wherever a gradient is
 * ready), TENSOR (measures every array first), TOTAL (measures all of them first) or MATRIX (takes some matrices as
 * wholes, all else element by element); its four state slots: ABSENT, ALWAYS, only with a flag (MOMENTUM, CENTERED,
 * AMSGRAD), always and above 0 after an update even where no gradient ever was (FLOOR), or always with a start
 * other than 0 (INITIAL: the hyperparameter "initial"; RATE: lr, and a floor; WEIGHTS: w; LIVE: the weights that
 * are trained, while w outside of training is where to evaluate); names of its own hyperparameters p[] in order,
 * and their ranges: s [0, 1), u [0, 1], o (0, 1), e and p above 0, n at least 0, c whole and at least 0, r any; its
 * formula, in which m^ and v^ are corrected for bias. */
#define GRC_OPTIMIZERS(X)                                                                                             \
    X(sgd, ELEMENTWISE, MOMENTUM, ABSENT, ABSENT, ABSENT, "momentum dampening", "su",                                 \
      "v = momentum v + (1 - dampening) g; w -= lr v")                                                                \
    X(rmsprop, ELEMENTWISE, INITIAL, CENTERED, MOMENTUM, ABSENT, "alpha eps momentum initial", "sesn",                \
      "s = alpha s + (1 - alpha) g^2; w -= lr g / (sqrt s + eps)")                                                    \
    X(adam, ELEMENTWISE, ALWAYS, ALWAYS, AMSGRAD, ABSENT, "beta1 beta2 eps eps_root", "ssen",                         \
      "w -= lr m^ / (sqrt v^ + eps)")                                                                                 \
    X(adamw, ELEMENTWISE, ALWAYS, ALWAYS, AMSGRAD, ABSENT, "beta1 beta2 eps eps_root", "ssen",                        \
      "w *= 1 - lr decay; w -= lr m^ / (sqrt v^ + eps)")                                                              \
    X(adagrad, ELEMENTWISE, INITIAL, ABSENT, ABSENT, ABSENT, "eps initial lr_decay", "enn",                           \
      "s += g^2; w -= lr g / (sqrt s + eps)")                                                                         \
    X(adadelta, ELEMENTWISE, ALWAYS, ALWAYS, ABSENT, ABSENT, "rho eps", "se",                                         \
      "s = rho s + (1 - rho) g^2; u = sqrt(d + eps) / sqrt(s + eps) g; d = rho d + (1 - rho) u^2; w -= lr u")         \
    X(adamax, ELEMENTWISE, ALWAYS, FLOOR, ABSENT, ABSENT, "beta1 beta2 eps", "sse",                                   \
      "u = max(beta2 u, abs(g) + eps); w -= lr m^ / u")                                                               \
    X(nadam, ELEMENTWISE, ALWAYS, ALWAYS, ABSENT, ABSENT, "beta1 beta2 eps psi", "ssen",                              \
      "mu_t = beta1 (1 - 0.96^(t psi) / 2); w -= lr (mu_(t+1) m^ + (1 - mu_t) g^) / (sqrt v^ + eps)")                 \
    X(radam, ELEMENTWISE, ALWAYS, ALWAYS, ABSENT, ABSENT, "beta1 beta2 eps", "sse",                                   \
      "w -= lr r_t m^ / (sqrt v^ + eps) where the variance is tractable, else w -= lr m^")                            \
    X(adabelief, ELEMENTWISE, ALWAYS, FLOOR, ABSENT, ABSENT, "beta1 beta2 eps eps_root", "ssen",                      \
      "s = beta2 s + (1 - beta2) (g - m)^2 + eps_root; w -= lr m^ / (sqrt s^ + eps)")                                 \
    X(yogi, ELEMENTWISE, INITIAL, INITIAL, ABSENT, ABSENT, "beta1 beta2 eps initial", "ssen",                         \
      "v -= (1 - beta2) sign(v - g^2) g^2; w -= lr m^ / (sqrt v^ + eps)")                                             \
    X(adan, ELEMENTWISE, ALWAYS, ALWAYS, ALWAYS, ALWAYS, "beta1 beta2 beta3 eps eps_root", "sssen",                   \
      "d = g - g_(t-1); m, v, n means of g, d, (g + (1 - beta2) d)^2; "                                               \
      "w -= lr (m^ + (1 - beta2) v^) / (sqrt(n^ + eps_root) + eps)")                                                  \
    X(lion, ELEMENTWISE, ALWAYS, ABSENT, ABSENT, ABSENT, "beta1 beta2", "ss",                                         \
      "w -= lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g")                                           \
    X(adopt, ELEMENTWISE, ALWAYS, ALWAYS, ABSENT, ABSENT, "beta1 beta2 eps", "sse",                                   \
      "m = beta1 m + (1 - beta1) clip(g / max(sqrt v, eps), t^0.25); w -= lr m; v = beta2 v + (1 - beta2) g^2")       \
    X(ademamix, ELEMENTWISE, ALWAYS, ALWAYS, ALWAYS, ABSENT, "beta1 beta2 beta3 alpha eps", "sssne",                  \
      "w -= lr (m^ + alpha n) / (sqrt v^ + eps), n = beta3 n + (1 - beta3) g")                                        \
    X(rprop, ELEMENTWISE, ALWAYS, RATE, ABSENT, ABSENT, "shrink grow smallest largest", "oppp",                       \
      "step *= grow where g keeps its sign, shrink where it turns; w -= step sign(g)")                                \
    X(schedule_free_sgd, ELEMENTWISE, WEIGHTS, LIVE, ABSENT, ABSENT, "momentum warmup power lr_power", "onnn",        \
      "y = (1 - c) y + c z - lr (1 - momentum (1 - c)) g; z -= lr g; evaluated at x")                                 \
    X(schedule_free_adamw, ELEMENTWISE, WEIGHTS, ALWAYS, LIVE, ABSENT, "beta1 beta2 eps warmup power lr_power",       \
      "osennn", "u = g / (sqrt v^ + eps) + decay y; y = (1 - c) y + c z - lr (1 - beta1 (1 - c)) u; z -= lr u")       \
    X(lamb, TENSOR, ALWAYS, ALWAYS, ABSENT, ABSENT, "beta1 beta2 eps", "sse",                                         \
      "u = m^ / (sqrt v^ + eps) + decay w; w -= lr |w| / |u| u")                                                      \
    X(lars, TENSOR, MOMENTUM, ABSENT, ABSENT, ABSENT, "momentum trust eps", "spn",                                    \
      "u = trust |w| / (|g| + decay |w| + eps) (g + decay w); v = momentum v + u; w -= lr v")                         \
    X(prodigy, TOTAL, ALWAYS, ALWAYS, ALWAYS, WEIGHTS, "beta1 beta2 beta3 eps initial coefficient", "sssepn",         \
      "Adam on d g with rate d lr; d = max(d, coefficient r / |s|), r and s sums of <g, w0 - w> and g")               \
    X(muon, MATRIX, ALWAYS, ALWAYS, ABSENT, ABSENT, "momentum a b c eps steps rms beta1 beta2 adam_lr", "srrrecnssn", \
      "m = momentum m + (1 - momentum) g; x = m / |m|; steps times: x = a x + (b xx' + c xx'xx') x; "                 \
      "w = (1 - lr decay) w - lr sqrt(max(1, fan_out / fan_in)) x; adamw for what is no matrix")                      \
    X(soap, MATRIX, ALWAYS, ALWAYS, ABSENT, ABSENT, "beta1 beta2 eps shampoo_beta frequency", "sseuc",                \
      "Adam on l'gr, l and r eigenvectors of running means of gg' and g'g; w -= lr l m^ / (sqrt v^ + eps) r'")

/* Op class (its file in ops/ defines grc_op_<name>), the layer kind that makes it. */
#define GRC_OPS(X)                      \
    X(dense, "dense")                   \
    X(activation, "activation")         \
    X(dropout, "dropout")               \
    X(standardize, "standardize")       \
    X(fork, "residual")                 \
    X(join, "end")                      \
    X(layer_norm, "layer_norm")         \
    X(rms_norm, "rms_norm")             \
    X(batch_norm, "batch_norm")         \
    X(layer_scale, "layer_scale")       \
    X(alpha_dropout, "alpha_dropout")   \
    X(gaussian_noise, "gaussian_noise") \
    X(glu, "glu")                       \
    X(maxout, "maxout")                 \
    X(prelu, "prelu")                   \
    X(weight_norm, "weight_norm")       \
    X(spectral_norm, "spectral_norm")   \
    X(embedding, "embedding")           \
    X(heads, "heads")                   \
    X(head, "head")                     \
    X(heads_end, "end_heads")

/* Slowest first: the last one that the machine and the user allow is chosen. */
#define GRC_ISAS(X) \
    X(scalar)       \
    X(neon)         \
    X(avx2)         \
    X(avx512)

enum { GRC_SLOTS = 4 }; /* of an optimizer's state */
enum grc_opt_kind { GRC_OPT_ELEMENTWISE, GRC_OPT_TENSOR, GRC_OPT_TOTAL, GRC_OPT_MATRIX };
enum grc_saves { GRC_SAVES_NOTHING, GRC_SAVES_OUTPUT, GRC_SAVES_INPUT };

#define GRC_ENUM_ACT(name, ...) GRC_ACT_##name,
#define GRC_ENUM_LOSS(name, ...) GRC_LOSS_##name,
#define GRC_ENUM_RANGE(name, ...) GRC_RANGE_##name,
#define GRC_NO_PARAMETER(...)
#define GRC_ENUM_OPT(name, ...) GRC_OPT_##name,
#define GRC_ENUM_ISA(name) GRC_ISA_##name,
enum grc_activation { GRC_ACTIVATIONS(GRC_ENUM_ACT) GRC_ACT_COUNT };
enum grc_loss { GRC_LOSSES(GRC_ENUM_LOSS, GRC_NO_PARAMETER, GRC_NO_PARAMETER) GRC_LOSS_COUNT };
enum grc_range { GRC_RANGES(GRC_ENUM_RANGE) GRC_RANGE_COUNT };
enum { GRC_LOSS_PARAMETERS = 4 }; /* at most, of a loss */
enum grc_optimizer { GRC_OPTIMIZERS(GRC_ENUM_OPT) GRC_OPT_COUNT };
enum grc_isa { GRC_ISAS(GRC_ENUM_ISA) GRC_ISA_COUNT };

#endif
