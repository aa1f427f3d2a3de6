/* The rules of a trainer as an object: their making, and the ledger of what they did. */
#include <math.h>
#include <string.h>

#include "rules.h"

static const struct {
    const char *name;
    enum grc_stage stage;
    double low, high;
} kinds[] = {
#define ROW(name, stage, low, high) {#name, GRC_ON_##stage, low, high},
    GRC_RULES(ROW)
#undef ROW
};

int grc_find_rule(const char *name)
{
    for (int kind = 0; kind < GRC_RULE_COUNT; kind++)
        if (strcmp(kinds[kind].name, name) == 0)
            return kind;
    return GRC_NONE;
}

/* ---- checks ---- */

static grc_status check_dense(const gradcore_network *n, gradcore_error *error)
{
    if (n->head_count) /* a row has one weight a head */
        return grc_fail(error, GRADCORE_INVALID, "example_norm: expected a network without heads");
    if (n->meets || n->derives) /* a row's gradient is not that of its own input and delta */
        return grc_fail(error, GRADCORE_INVALID,
                        "example_norm: expected a network without batch, weight or spectral normalisation");
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        if (p->trainable && n->ops[p->op].class != &grc_op_dense)
            return grc_fail(error, GRADCORE_INVALID,
                            "example_norm: expected a network whose dense layers alone have parameters, got "
                            "%s",
                            p->name);
    }
    return GRADCORE_OK;
}

/* Divided by its largest singular value, a weight can be held to signs and zeros, and to nothing else. */
static grc_status check_rescaled(const gradcore_network *n, const gradcore_rule *from, const grc_rule *r, size_t index,
                                 gradcore_error *error)
{
    const int signs = r->kind == GRC_RULE_box && !r->scheduled && (r->other == 0 || isinf(r->other))
                      && (r->limit == 0 || isinf(r->limit));
    if (r->stage != GRC_ON_WEIGHTS || r->kind == GRC_RULE_mask || signs)
        return GRADCORE_OK;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_op *op = &n->ops[p->op];
        if (p->trainable && p->ndim == 2 && op->rescaled && !op[1].class->rescaling->clamp_weight
            && (!from->mask || from->mask[i]))
            return grc_fail(error, GRADCORE_INVALID,
                            "rules[%zu]: expected %s to leave %s alone, which is divided by its largest singular value",
                            index, kinds[r->kind].name, p->name);
    }
    return GRADCORE_OK;
}

static grc_status read_rule(const gradcore_trainer *trainer, const gradcore_rule *from, size_t index, grc_rule *r,
                            gradcore_error *error)
{
    if (from->size != sizeof *from || !from->name)
        return grc_fail(error, GRADCORE_INVALID, "rules[%zu]: expected a gradcore_rule with size and name", index);
    const int kind = grc_find_rule(from->name);
    if (kind == GRC_NONE)
        return grc_fail(error, GRADCORE_INVALID, "rules[%zu].name: expected a known rule, got '%.40s'", index,
                        from->name);
    if (!from->scheduled && !(from->limit >= kinds[kind].low && from->limit <= kinds[kind].high))
        return grc_fail(error, GRADCORE_INVALID, "rules[%zu].limit: expected a number from %g to %g, got %g", index,
                        kinds[kind].low, kinds[kind].high, from->limit);
    if (isnan(from->other) || (kind == GRC_RULE_box ? from->other > from->limit : from->other < 0))
        return grc_fail(error, GRADCORE_INVALID, "rules[%zu].other: expected %s, got %g", index,
                        kind == GRC_RULE_box ? "at most the limit" : "at least 0", from->other);
    if (from->order != 1 && from->order != 2 && !(isinf(from->order) && from->order > 0))
        return grc_fail(error, GRADCORE_INVALID, "rules[%zu].order: expected 1, 2 or infinity, got %g", index,
                        from->order);
    if (kind == GRC_RULE_mask) {
        if (!from->keep)
            return grc_fail(error, GRADCORE_INVALID, "rules[%zu].keep: expected arrays, got NULL", index);
        for (int i = 0; i < trainer->net->parameter_count; i++) {
            const grc_parameter *p = &trainer->net->parameters[i];
            if (from->keep[i] && !isfinite(trainer->net->kernels->max_abs(p->rows * p->cols, from->keep[i])))
                return grc_fail(error, GRADCORE_INVALID, "rules[%zu].keep: expected finite numbers for %s", index,
                                p->name);
        }
    }
    *r = (grc_rule){.kind = (enum grc_rule_kind)kind,
                    .stage = kinds[kind].stage,
                    .scheduled = from->scheduled != 0,
                    .limit = from->limit,
                    .other = from->other,
                    .reduction = from->order == 1   ? GRC_SUM_ABS
                                 : from->order == 2 ? GRC_SUM_SQUARES
                                                    : GRC_MAX_ABS};
    return kind == GRC_RULE_example_norm ? check_dense(trainer->net, error)
                                         : check_rescaled(trainer->net, from, r, index, error);
}

/* ---- making ---- */

static size_t count_tasks(const gradcore_network *n)
{
    size_t count = 0;
    for (int i = 0; i < n->parameter_count; i++)
        if (n->parameters[i].trainable)
            count += grc_rows_are_units(&n->parameters[i]) ? 1 : grc_panels(n, n->parameters[i].cols);
    return count;
}

static void list_tasks(const gradcore_network *n, grc_clip_task *tasks)
{
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const size_t panels = grc_panels(n, grc_stored_cols(p));
        if (p->trainable && grc_rows_are_units(p))
            *tasks++ = (grc_clip_task){i, 0, panels};
        else if (p->trainable)
            for (size_t panel = 0; panel < panels; panel++)
                *tasks++ = (grc_clip_task){i, panel, 1};
    }
}

static struct grc_clipping *lay_out(const gradcore_trainer *trainer, const grc_rule *list, size_t rules, grc_arena *a)
{
    size_t keeps = 0;
    for (size_t i = 0; i < rules; i++)
        keeps += list[i].kind == GRC_RULE_mask;
    const size_t parameters = (size_t)trainer->net->parameter_count, tasks = count_tasks(trainer->net);
    struct grc_clipping *c = grc_take(a, 1, sizeof *c);
    grc_clip_task *cut = grc_take(a, tasks, sizeof *cut);
    double *partial = grc_take(a, tasks, sizeof *partial);
    grc_tally *tallies = grc_take(a, tasks, sizeof *tallies);
    uint8_t *masks = grc_take(a, parameters * rules, sizeof *masks);
    char *kept = grc_take(a, keeps * trainer->net->vector, trainer->net->item);
    if (c)
        *c = (struct grc_clipping){.rule_count = rules,
                                   .task_count = tasks,
                                   .tasks = cut,
                                   .partial = partial,
                                   .tallies = tallies,
                                   .masks = masks,
                                   .keeps = kept};
    return c;
}

static grc_status make(gradcore_trainer *trainer, const gradcore_rule *from, const grc_rule *rules, size_t n,
                       struct grc_clipping **out, gradcore_error *error)
{
    const gradcore_network *net = trainer->net;
    const size_t parameters = (size_t)net->parameter_count;
    grc_arena arena = {NULL, 0, 0};
    lay_out(trainer, rules, n, &arena);
    const size_t size = arena.used;
    arena = (grc_arena){arena.overflow ? NULL : grc_allocate(&net->allocator, size), 0, 0};
    if (!arena.base)
        return grc_fail(error, GRADCORE_NO_MEMORY, "rules: expected memory for them, got none");
    struct grc_clipping *c = lay_out(trainer, rules, n, &arena);
    c->size = size;
    list_tasks(net, c->tasks);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        c->rules[i] = rules[i];
        c->rules[i].mask = c->masks + i * parameters;
        for (size_t p = 0; p < parameters; p++)
            c->masks[i * parameters + p] =
                (uint8_t)(net->parameters[p].trainable && (!from[i].mask || from[i].mask[p])
                          && (rules[i].kind != GRC_RULE_centralize || net->parameters[p].ndim == 2));
        if (rules[i].kind != GRC_RULE_mask)
            continue;
        c->rules[i].keep = c->keeps + kept++ * net->vector * net->item;
        for (size_t p = 0; p < parameters; p++) {
            c->masks[i * parameters + p] &= from[i].keep[p] != NULL;
            if (from[i].keep[p])
                grc_write_parameter(net, &net->parameters[p], from[i].keep[p], c->rules[i].keep);
        }
    }
    *out = c;
    return GRADCORE_OK;
}

static void destroy(const gradcore_trainer *trainer, struct grc_clipping *c)
{
    const gradcore_allocator *allocator = &trainer->net->allocator;
    if (!c)
        return;
    grc_release(allocator, c->row_factor, c->row_count * sizeof *c->row_factor);
    grc_release(allocator, c, c->size);
}

void grc_clipping_destroy(gradcore_trainer *trainer)
{
    destroy(trainer, trainer->clipping);
    trainer->clipping = NULL;
}

static grc_status reserve_rows(const gradcore_trainer *trainer, struct grc_clipping *c, size_t rows,
                               gradcore_error *error)
{
    const gradcore_allocator *allocator = &trainer->net->allocator;
    int on_rows = 0;
    for (size_t i = 0; c && i < c->rule_count; i++)
        on_rows |= c->rules[i].stage == GRC_ON_ROWS;
    if (!on_rows || rows <= c->row_count)
        return GRADCORE_OK;
    double *factor = grc_allocate(allocator, rows * sizeof *factor);
    if (!factor)
        return grc_fail(error, GRADCORE_NO_MEMORY, "rules: expected memory for %zu rows, got none", rows);
    grc_release(allocator, c->row_factor, c->row_count * sizeof *factor);
    c->row_factor = factor;
    c->row_count = rows;
    return GRADCORE_OK;
}

grc_status grc_clipping_copy(gradcore_trainer *trainer, const gradcore_trainer *from, gradcore_error *error)
{
    const struct grc_clipping *old = from->clipping;
    if (!old)
        return GRADCORE_OK;
    struct grc_clipping *c = trainer->clipping = grc_copy(&trainer->net->allocator, old, old->size);
    if (!c)
        return grc_fail(error, GRADCORE_NO_MEMORY, "rules: expected memory for them, got none");
    c->tasks = grc_moved(old, c, old->tasks);
    c->partial = grc_moved(old, c, old->partial);
    c->tallies = grc_moved(old, c, old->tallies);
    c->masks = grc_moved(old, c, old->masks);
    c->keeps = grc_moved(old, c, old->keeps);
    for (size_t i = 0; i < c->rule_count; i++) {
        c->rules[i].mask = grc_moved(old, c, old->rules[i].mask);
        c->rules[i].keep = grc_moved(old, c, old->rules[i].keep);
    }
    c->row_factor = NULL;
    c->row_count = 0;
    return reserve_rows(trainer, c, old->row_count, error);
}

grc_status grc_clipping_reserve(gradcore_trainer *trainer, size_t rows, gradcore_error *error)
{
    return reserve_rows(trainer, trainer->clipping, rows, error);
}

grc_status gradcore_trainer_set_rules(gradcore_trainer *trainer, const gradcore_rule *from, size_t n,
                                      gradcore_error *error)
{
    grc_rule rules[GRC_MOST_RULES];
    size_t on_rows = 0, scheduled = 0;
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    if (n > GRC_MOST_RULES || (n && !from))
        status = grc_fail(error, GRADCORE_INVALID, "rules: expected at most %d, got %zu", GRC_MOST_RULES, n);
    for (size_t i = 0; i < n && status == GRADCORE_OK; i++) {
        status = read_rule(trainer, &from[i], i, &rules[i], error);
        if (status == GRADCORE_OK) {
            on_rows += rules[i].stage == GRC_ON_ROWS;
            scheduled += (size_t)rules[i].scheduled;
        }
    }
    if (status == GRADCORE_OK && (on_rows > 1 || scheduled + (trainer->fused_rule != GRC_NONE) > 1))
        status = grc_fail(error, GRADCORE_INVALID,
                          "rules: expected one on rows and one scheduled limit at most, got %zu and %zu", on_rows,
                          scheduled + (trainer->fused_rule != GRC_NONE));
    struct grc_clipping *made = NULL;
    if (status == GRADCORE_OK && n)
        status = make(trainer, from, rules, n, &made, error);
    if (status == GRADCORE_OK)
        status = reserve_rows(trainer, made, trainer->plan->view.capacity, error);
    if (status == GRADCORE_OK) {
        grc_clipping_destroy(trainer);
        trainer->clipping = made;
    } else
        destroy(trainer, made);
    grc_trainer_leave(trainer);
    return status;
}

/* ---- what they did ---- */

const grc_rule *grc_row_rule(const gradcore_trainer *trainer)
{
    for (size_t i = 0; trainer->clipping && i < trainer->clipping->rule_count; i++)
        if (trainer->clipping->rules[i].stage == GRC_ON_ROWS)
            return &trainer->clipping->rules[i];
    return NULL;
}

int grc_clip_is_scheduled(const gradcore_trainer *trainer)
{
    if (trainer->fused_rule != GRC_NONE)
        return 1;
    for (size_t i = 0; trainer->clipping && i < trainer->clipping->rule_count; i++)
        if (trainer->clipping->rules[i].scheduled)
            return 1;
    return 0;
}

static void add(grc_tally *to, const grc_tally *one)
{
    to->seen += one->seen;
    to->scaled += one->scaled;
    to->sum += one->sum;
}

static void enter(gradcore_trainer *trainer, double *run, int parameter, const grc_tally *one)
{
    add(&trainer->ledger[parameter], one);
    if (run) {
        run[3 * parameter] += one->seen;
        run[3 * parameter + 1] += one->scaled;
        run[3 * parameter + 2] += one->sum;
    }
}

/* Of a parameter's elements, each with a factor of its own. */
static grc_tally tally_of_elements(const gradcore_trainer *trainer, int parameter)
{
    const grc_plan *plan = trainer->plan;
    const grc_parameter *p = &trainer->net->parameters[parameter];
    grc_tally all = {.seen = (double)(p->rows * p->cols)};
    for (size_t i = plan->chunk_first[parameter]; i < plan->chunk_first[parameter + 1]; i++) {
        all.scaled += plan->chunk_beyond[i][0];
        all.sum += plan->chunk_beyond[i][1];
    }
    all.sum += all.seen - all.scaled;
    return all;
}

double grc_enter_clips(gradcore_trainer *trainer, double scale, int by_norm, size_t rows, double *run)
{
    struct grc_clipping *c = trainer->clipping;
    grc_tally part = {0}, whole = {0}; /* part: what single rules say; whole: what each parameter shares */
    if (c && grc_row_rule(trainer))
        for (size_t r = 0; r < rows; r++)
            grc_count_factor(&part, c->row_factor[r]);
    add(&whole, &part);
    if (by_norm)
        grc_count_factor(&whole, scale);
    for (int p = 0; p < trainer->net->parameter_count; p++) {
        if (!trainer->net->parameters[p].trainable)
            continue;
        if (whole.seen > 0)
            enter(trainer, run, p, &whole);
        if (trainer->fused_rule == GRC_RULE_value) {
            const grc_tally own = tally_of_elements(trainer, p);
            enter(trainer, run, p, &own);
            add(&part, &own);
        }
    }
    for (size_t i = 0; c && i < c->task_count; i++) {
        enter(trainer, run, c->tasks[i].parameter, &c->tallies[i]);
        add(&part, &c->tallies[i]);
        c->tallies[i] = (grc_tally){0};
    }
    return part.seen > 0 ? part.sum / part.seen : 1;
}

grc_status gradcore_trainer_ledger(gradcore_trainer *trainer, double *ledger, gradcore_error *error)
{
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    if (!ledger)
        status = grc_fail(error, GRADCORE_INVALID, "ledger: expected a pointer, got NULL");
    for (int p = 0; ledger && p < trainer->net->parameter_count; p++) {
        const grc_tally *one = &trainer->ledger[p];
        memcpy(ledger + 3 * p, (double[3]){one->seen, one->scaled, one->sum}, 3 * sizeof *ledger);
    }
    grc_trainer_leave(trainer);
    return status;
}
