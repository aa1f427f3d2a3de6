/* Rules on gradients before the update, and on weights after it. All threads of a team call what takes one, with
 * the same arguments.
 *
 * Words. A rule has a *stage*: it is on single rows of a batch, on gradients, or on weights. A *unit* is what some
 * rules take the norm of: the weights into one neuron, or a vector. The work is cut into *tasks* of whole units. A
 * rule on weights is a *mask* or a *bound*. *Slack* is how far weights may be off, as a part of the limit. */
#ifndef GRC_RULES_H
#define GRC_RULES_H

#include "trainer.h"

enum { GRC_MOST_RULES = 12, GRC_MOST_LANES = 16 };
enum grc_stage { GRC_ON_ROWS, GRC_ON_GRADIENTS, GRC_ON_WEIGHTS };

/* The rules: name, stage, lowest and highest limit. gradcore.h says what they do. */
#define GRC_RULES(X)                       \
    X(example_norm, ROWS, 0, INFINITY)     \
    X(value, GRADIENTS, 0, INFINITY)       \
    X(global_norm, GRADIENTS, 0, INFINITY) \
    X(tensor_norm, GRADIENTS, 0, INFINITY) \
    X(adaptive, GRADIENTS, 0, INFINITY)    \
    X(centralize, GRADIENTS, 0, INFINITY)  \
    X(noise, GRADIENTS, 0, 1e10)           \
    X(box, WEIGHTS, -INFINITY, INFINITY)   \
    X(max_norm, WEIGHTS, 0, INFINITY)      \
    X(unit_norm, WEIGHTS, 0, 1e10)         \
    X(mask, WEIGHTS, 0, INFINITY)

#define GRC_ENUM_RULE(name, ...) GRC_RULE_##name,
enum grc_rule_kind { GRC_RULES(GRC_ENUM_RULE) GRC_RULE_COUNT };

typedef struct grc_rule {
    enum grc_rule_kind kind;
    enum grc_stage stage;
    int scheduled;
    double limit, other;
    enum grc_reduction reduction; /* of a norm */
    const uint8_t *mask;          /* [parameter] */
    void *keep;                   /* of "mask": a parameter vector */
} grc_rule;

/* A panel of a matrix, whose columns are whole units, or a whole vector or turned matrix, whose rows are. */
typedef struct grc_clip_task {
    int parameter;
    size_t panel, panels;
} grc_clip_task;

struct grc_clipping {
    size_t size; /* of the block that all of it lies in */
    size_t rule_count, task_count;
    grc_rule rules[GRC_MOST_RULES];
    grc_clip_task *tasks;
    double *partial;    /* [task]: of a norm over several tasks */
    grc_tally *tallies; /* [task]: of this step */
    double *row_factor; /* [row of the batch], where a rule is on rows; else NULL */
    size_t row_count;
    uint8_t *masks;     /* [rule][parameter] */
    char *keeps;        /* [rules of kind mask]: parameter vectors */
};

static inline double grc_limit_of(const grc_rule *r, const double *hypers)
{
    return r->scheduled ? hypers[GRADCORE_CLIP] : r->limit;
}
static inline void grc_count_factor(grc_tally *tally, double factor)
{
    tally->seen++;
    tally->scaled += factor < 1;
    tally->sum += factor;
}

/* ---- clip_rules.c ---- */

int grc_find_rule(const char *name); /* its kind, or GRC_NONE */
const grc_rule *grc_row_rule(const gradcore_trainer *trainer); /* or NULL */
int grc_clip_is_scheduled(const gradcore_trainer *trainer); /* a rule takes its limit from the hypers */
void grc_clipping_destroy(gradcore_trainer *trainer);
/* The rules of `from`, whose twin the trainer is, and all that they have done. */
grc_status grc_clipping_copy(gradcore_trainer *trainer, const gradcore_trainer *from, gradcore_error *error);
/* Room for the factors of so many rows; all else stays. */
grc_status grc_clipping_reserve(gradcore_trainer *trainer, size_t rows, gradcore_error *error);
/* Enters what the step's rules on gradients did into the trainer's ledger, and into `run` where that is not NULL:
 * (parameters, 3), see gradcore_run. by_norm: `scale` was made from the norm of all gradients. Returns the mean of
 * what the rules on less than all gradients multiplied by. For one thread, after a barrier. */
double grc_enter_clips(gradcore_trainer *trainer, double scale, int by_norm, size_t rows, double *run);

/* ---- clip.c ---- */

/* The cheap rules, value and global_norm with the limit of a step's hyperparameters, are fused into the update
 * where one of them comes alone: what all gradients are multiplied by, and within which limits each is clamped. */
double grc_clip_scale(const gradcore_trainer *trainer, const double *hypers, double norm);
double grc_clip_value(const gradcore_trainer *trainer, const double *hypers);
/* Rules on single rows: deltas of rows [row, row + rows) after backward, before the gradients. */
void grc_clip_rows(gradcore_trainer *trainer, const double *hypers, size_t row, size_t rows);
/* Rules on plan->grad, in order; ends with a barrier. */
void grc_clip_gradients(gradcore_trainer *trainer, grc_team *team, const double *hypers, int t, int count);

/* ---- units.c: what rules on gradients and on weights share ---- */

void *grc_panel_of(const gradcore_network *n, const grc_parameter *p, void *vector, size_t panel);
/* Lanes of `panel` that hold elements, not padding. */
size_t grc_lanes_of(const gradcore_network *n, const grc_parameter *p, size_t panel);
int grc_rows_are_units(const grc_parameter *p);
double grc_fold_reduction(enum grc_reduction kind, size_t lanes, const double *lane);
/* The reduction of stored row i of a parameter whose rows are units. */
double grc_reduce_row(const gradcore_network *n, const grc_parameter *p, void *vector, size_t i,
                      enum grc_reduction kind);
/* Each unit of a task by itself: adaptive, centralize, max_norm, unit_norm. target: the gradient, or weights. */
void grc_map_units(const gradcore_trainer *trainer, const grc_rule *r, void *target, double limit, double slack,
                   const grc_clip_task *k, grc_tally *seen);
void grc_clamp_task(const gradcore_network *n, void *vector, const grc_clip_task *k, double low, double high);

#endif
