# Model functions on which hyperas 0.4.1 fails or gives a template an unrelated name: above each, what hyperas's parser
# says (its labels, or its error), and hpcho's labels.


# hyperas: IndexError
# hpcho: Dense
def first_position(x):
    model.add(Dense(64, {{choice(['relu', 'tanh'])}}))


# hyperas: IndexError
# hpcho: l1, l2
def first_position_in_a_dict(x):
    params = {'l1': {{uniform(0, 1)}}, 'l2': {{uniform(0, 1)}}}


# hyperas: IndexError
# hpcho: rate
def first_position_in_a_subscript(x):
    params['rate'] = {{uniform(0, 1)}}


# hyperas: IndexError
# hpcho: text
def first_position_in_an_f_string(x):
    text = f"{ {{choice([1, 2])}} }"


# hyperas: IndexError
# hpcho: first_position_in_a_return
def first_position_in_a_return(x):
    return {{uniform(0, 1)}}


# hyperas: IndexError
# hpcho: range
def first_position_in_a_loop(x):
    for n in range(1 + {{randint(3)}}):
        pass


# hyperas: IndexError
# hpcho: if
def first_condition(x):
    if {{choice(['three', 'four'])}} == 'four':
        pass


# hyperas: Dropout, Dropout_1, add
# hpcho: Dropout, if, add
def after_if(x):
    model.add(Dropout({{uniform(0, 1)}}))
    if {{choice(['three', 'four'])}} == 'four':
        model.add({{choice([Dropout(0.5), Activation('linear')])}})


# hyperas: rate, rate_1, rate_2, rate_3, rate_4
# hpcho: rate, if, elif, while, if_1
def after_other_keywords(x):
    rate = {{uniform(0, 1)}}
    if {{choice([1, 2])}} == 1:
        pass
    elif not {{choice([3, 4])}} == 3:
        pass
    while 5 == {{choice([5, 6])}}:
        break
    return 1 if {{choice([7, 8])}} else 2


# hyperas: rate, rate_1
# hpcho: rate, match
def after_match(x):
    rate = {{uniform(0, 1)}}
    match {{choice(['a', 'b'])}}:
        case 'a':
            pass


# hyperas: nothing
# hpcho: option
def dicts_as_options(x):
    option = {{choice([{'n': 1}, {'n': 2}])}}


# hyperas: rate
# hpcho: rate, option, size
def dict_between_others(x):
    rate = {{uniform(0, 1)}}
    option = {{choice([{'n': 1}, {'n': 2, 'm': {'k': 3}}])}}
    size = {{choice([set(), {1}])}}


# hyperas: nothing
# hpcho: regularizer
def bracket_in_a_string(x):
    regularizer = {{choice(['}', '{'])}}


# hyperas: IndexError
# hpcho: rate
def brackets_in_strings_outside(x):
    print("{", '}', "{{", '}}')
    rate = {{uniform(0, 1)}}


# hyperas: add
# hpcho: add, Dropout
def template_in_an_option(x):
    model.add({{choice([Dropout({{uniform(0, 1)}}), Activation('relu')])}})


# hyperas: add, Dropout
# hpcho: add, Dropout, Dropout_1, Dropout_2
def templates_in_templates_in_templates(x):
    model.add({{choice([Dropout({{uniform(0, 1)}}), Wrapped(Dropout({{choice([0.1, {{uniform(0.2, 0.3)}}])}}))])}})


# hyperas: Dropout, Dropout_1, Dropout_1
# hpcho: Dropout, Dropout_1, Dropout_2
def the_name_that_a_number_makes(x):
    model.add(Dropout({{uniform(0, 1)}}))
    Dropout_1 = {{uniform(0, 0.5)}}
    model.add(Dropout({{uniform(0, 1)}}))


# hyperas: rate, Dropout, Dropout_1
# hpcho: rate, Dropout
def commented_out(x):
    rate = {{uniform(0.1, 0.2)}}
    # model.add(Dropout({{uniform(0, 1)}}))
    model.add(Dropout({{uniform(0, 1)}}))


# hyperas: Dropout, Dropout_1
# hpcho: Dropout
def mentioned_in_the_docstring(x):
    """Tries Dropout({{uniform(0, 1)}})."""
    model.add(Dropout({{uniform(0, 1)}}))


# hyperas: nothing
# hpcho: rate
def apart(x):
    rate = { {uniform(0, 1)} }
