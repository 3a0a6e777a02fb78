/* A neuron of a shared compact model as a compact model of its own: the same responses, the same
 * neuron of the same session, and what cannot be split. */
#include "test.h"

#include "ventral/model.h"
#include "ventral/rng.h"

enum { SIDE = 20, IMAGES = 4, NEURONS = 5 };

static vt_model *make_shared(bool linear)
{
    vt_model *model;
    vt_compact_options o = {.filters = {5, 4, 3, 6, 4},
                            .height = SIDE,
                            .width = SIDE,
                            .outputs = NEURONS,
                            .shared = true,
                            .linear = linear,
                            .seed = 5};
    assert_ok(vt_compact_new(&model, &o));
    vt_graph *g = vt_model_graph(model);
    vt_rng rng;
    vt_rng_init(&rng, 8, 0, 0, 0);
    for (int i = 0; i < vt_graph_param_count(g); i++) {
        vt_tensor *value = &vt_graph_param(g, i)->value;
        for (int64_t k = 0; k < vt_tensor_count(value); k++)
            ((float *)value->data)[k] += 0.3f * (float)vt_rng_uniform(&rng);
    }
    vt_graph_touch(g);
    assert_ok(vt_model_add_session(
        model, &(vt_model_session){.id = "a", .first = 0, .count = 2, .first_neuron = 7}));
    assert_ok(vt_model_add_session(model, &(vt_model_session){.id = "b", .first = 2, .count = 3}));
    return model;
}

/* (IMAGES, outputs) */
static void respond(float *out, vt_model *model)
{
    vt_plan *plan;
    vt_node node = vt_model_output(model);
    vt_rng rng;
    vt_rng_init(&rng, 9, 0, 0, 0);
    assert_ok(
        vt_plan_new(&plan, vt_model_graph(model),
                    &(vt_plan_options){.batch = IMAGES, .outputs = &node, .output_count = 1}));
    vt_tensor *input = vt_plan_input(plan, vt_model_input(model));
    for (int64_t i = 0; i < vt_tensor_count(input); i++)
        ((float *)input->data)[i] = 200 * (float)vt_rng_uniform(&rng) - 100;
    assert_ok(vt_plan_forward(plan));
    const vt_tensor *t = vt_plan_output(plan, node);
    memcpy(out, t->data, vt_tensor_bytes(t));
    vt_plan_free(plan);
}

static void check(bool linear)
{
    vt_model *shared = make_shared(linear);
    float whole[IMAGES * NEURONS], own[IMAGES];
    respond(whole, shared);
    for (int n = 0; n < NEURONS; n++) {
        vt_model *one;
        assert_ok(vt_compact_split(&one, shared, n));
        assert_string_equal("compact", vt_model_architecture(one));
        assert_int_equal(1, vt_model_outputs(one));
        respond(own, one);
        for (int i = 0; i < IMAGES; i++) {
            float wanted = whole[i * NEURONS + n];
            assert_close(own[i], wanted, 1e-5 * (1 + fabs((double)wanted)));
        }
        const vt_model_session *s = vt_model_session_at(one, 0);
        assert_int_equal(1, vt_model_session_count(one));
        assert_string_equal(n < 2 ? "a" : "b", s->id);
        assert_int_equal(n < 2 ? 7 + n : n - 2, s->first_neuron);
        assert_int_equal(0, s->first);
        assert_int_equal(1, s->count);
        vt_model_free(one);
    }
    vt_model_free(shared);
}

static void test_split(void **state)
{
    (void)state;
    check(false);
    check(true);
}

static void test_refusals(void **state)
{
    (void)state;
    vt_model *shared = make_shared(false), *one, *none = NULL;
    assert_int_equal(VT_EINVAL, vt_compact_split(&none, shared, NEURONS));
    assert_int_equal(VT_EINVAL, vt_compact_split(&none, shared, -1));
    assert_ok(vt_compact_split(&one, shared, 0));
    assert_int_equal(VT_EINVAL, vt_compact_split(&none, one, 0));
    assert_non_null(strstr(vt_error_message(), "shared compact model"));
    assert_null(none);
    vt_model_free(one);
    vt_model_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
