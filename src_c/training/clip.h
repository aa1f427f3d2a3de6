/* Rules on gradients and weights, as clip_rules.c makes them and clip.c applies them. */
#ifndef GRC_CLIP_H
#define GRC_CLIP_H

#include "trainer.h"

enum { GRC_MOST_RULES = 12 };

enum grc_stage { GRC_ON_ROWS, GRC_ON_GRADIENTS, GRC_ON_WEIGHTS };

/* The rules: name, stage, lowest and highest limit. gradcore.h says what they do. */
#define GRC_RULES(X)                                                                                  \
    X(example_norm, ROWS, 0, INFINITY)                                                                \
    X(value, GRADIENTS, 0, INFINITY)                                                                  \
    X(global_norm, GRADIENTS, 0, INFINITY)                                                            \
    X(tensor_norm, GRADIENTS, 0, INFINITY)                                                            \
    X(adaptive, GRADIENTS, 0, INFINITY)                                                               \
    X(centralize, GRADIENTS, 0, INFINITY)                                                             \
    X(noise, GRADIENTS, 0, 1e10)                                                                      \
    X(box, WEIGHTS, -INFINITY, INFINITY)                                                              \
    X(max_norm, WEIGHTS, 0, INFINITY)                                                                 \
    X(unit_norm, WEIGHTS, 0, 1e10)                                                                    \
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
    double *row_factor; /* [row of the batch], where a rule is on rows */
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
const grc_rule *grc_row_rule(const gradcore_trainer *trainer); /* or NULL */

#endif
