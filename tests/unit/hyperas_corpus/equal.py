# Model functions that hyperas 0.4.1 reads right: hpcho's labels are the same. Names need not exist; nothing is run.


def variable(x):
    size = {{quniform(12, 256, 4)}}


def call(x):
    model.add(Dropout({{uniform(0, 1)}}))


def keyword(x):
    model.compile(optimizer={{choice(['rmsprop', 'adam', 'sgd'])}})


def same_call_twice(x):
    model.add(Dropout({{uniform(0, 1)}}))
    model.add(Dropout({{uniform(0, 1)}}))
    model.add(Dropout({{uniform(0, 1)}}))


def same_call_with_other_numbers(x):
    model.add(Dropout({{uniform(0, 1)}}))
    model.add(Dropout({{uniform(0, 0.5)}}))


def same_text_under_another_name(x):
    dropout1 = {{uniform(0, 1)}}
    dropout2 = {{uniform(0, 1)}}
    dense1 = {{choice([64, 128, 256])}}
    dense2 = {{choice([64, 128, 256])}}


def same_text_but_for_a_blank(x):
    dropout1 = {{uniform(0, 1)}}
    dropout2 = {{uniform(0,1)}}


def text_that_is_named_only_later(x):
    model.add(Dense(64, {{choice(['relu', 'tanh'])}}))
    model.add(Activation({{choice(['relu', 'tanh'])}}))


def second_position(x):
    model.add(Dropout({{uniform(0, 1)}}))
    model.add(Dense(64, {{choice(['relu', 'tanh'])}}))


def dict_value_after_a_name(x):
    rate = {{uniform(0, 1)}}
    params = {'l2': {{loguniform(-10, -1)}}}


def dict_by_keyword(x):
    params = dict(l1={{uniform(0, 0.1)}}, l2={{uniform(0, 0.2)}})


def subscript_after_a_name(x):
    rate = {{uniform(0, 1)}}
    params['l2'] = {{normal(0, 1)}}


def attribute(x):
    self.rate = {{uniform(0, 1)}}
    keras.layers.Dropout({{uniform(0, 0.5)}})


def conversion(x):
    model.add(Dense(int({{quniform(12, 256, 4)}})))
    size = int({{quniform(1, 10, 1)}})


def conditional_of_early_hyperas(x):
    model.add(Activation({{choice(['relu', 'sigmoid'])}}))
    if conditional({{choice(['three', 'four'])}}) == 'four':
        model.add(Dense(100))


def bracketed_condition(x):
    if ({{choice(['three', 'four'])}} == 'four'):
        pass
    elif ({{choice(['five', 'six'])}} == 'six'):
        pass


def comparison_to_a_variable(x):
    deep = {{choice(['yes', 'no'])}} == 'yes'


def over_several_lines(x):
    model.add(
        Dense(
            {{choice([
                256,  # small
                512,
            ])}}
        )
    )
    batch_size = \
        3
    model.fit(x, batch_size={{choice([64, 128])}},
              epochs = {{ choice([1, 2]) }})


def blanks_around(x):
    rate   =   {{ uniform(0, 1) }}
    Dropout ( {{uniform(0, 0.5)}} )
    Dense(units = {{randint(9)}})


def comment_after(x):
    rate = {{uniform(0, 1)}}  # a rate
    # more to come
    size = {{choice([1, 2])}}


def imports_inside(x):
    from keras.layers import Dense
    import numpy as np
    Dense({{choice([8, 16])}})


def chained_assignment(x):
    a = b = {{uniform(0, 1)}}


def annotation(x):
    rate: float = {{uniform(0, 1)}}


def augmented_after_a_name(x):
    rate = {{uniform(0, 1)}}
    rate += {{uniform(0, 0.5)}}


def lambda_default(x):
    f = lambda rate={{uniform(0, 1)}}: rate


def inner_function(x):
    def block(size):
        return Dense(size, activation={{choice(['relu', 'tanh'])}})
    return block({{choice([8, 16])}})


def returned_after_a_name(x):
    rate = {{uniform(0, 1)}}
    return {{uniform(0, 0.5)}}


def returned_in_brackets(x):
    return({{uniform(0, 1)}})


def name_with_a_number(x):
    Dropout_2 = {{uniform(0, 0.5)}}
    model.add(Dropout({{uniform(0, 1)}}))
    model.add(Dropout({{uniform(0, 1)}}))


def choice_of_layers(x):
    model.add({{choice([Dropout(0.5), Activation('linear')])}})


def choice_of_objects(x):
    optimizer = {{choice([Adam(lr=0.1), SGD(0.1, momentum=0.9), rms])}}


def choice_of_lists_and_tuples(x):
    layers = {{choice([[1, 2], (3, 4), [Dense(1)]])}}


def every_distribution(x):
    a = {{uniform(0, 1)}}
    b = {{quniform(0, 10, 2)}}
    c = {{loguniform(-5, 0)}}
    d = {{qloguniform(0, 5, 2)}}
    e = {{normal(0, 1)}}
    f = {{qnormal(0, 1, 0.5)}}
    g = {{lognormal(0, 1)}}
    h = {{qlognormal(0, 1, 0.5)}}
    i = {{randint(9)}}
    j = {{randint(2, 9)}}
    k = {{uniformint(2, 9)}}
    l = {{choice([1, 2])}}
    m = {{pchoice([(0.3, 'a'), (0.7, 'b')])}}


def keyword_arguments_of_distributions(x):
    a = {{uniform(low=0, high=1)}}
    b = {{normal(mu=0, sigma=2)}}


def numbers_worked_out(x):
    lr = {{loguniform(np.log(1e-4), np.log(1e-1))}}
    size = {{choice([2**5, 2**6])}}
    depth = {{choice(range(1, 4))}}


def classic(x_train, y_train, x_test, y_test):
    """
    Builds and trains a model.
    """
    model = Sequential()
    model.add(Dense(512, input_shape=(784,)))
    model.add(Activation('relu'))
    model.add(Dropout({{uniform(0, 1)}}))
    model.add(Dense({{choice([256, 512, 1024])}}))
    model.add(Activation({{choice(['relu', 'sigmoid'])}}))
    model.add(Dropout({{uniform(0, 1)}}))
    model.add({{choice([Dropout(0.5), Activation('linear')])}})
    model.compile(loss='categorical_crossentropy', metrics=['accuracy'],
                  optimizer={{choice(['rmsprop', 'adam', 'sgd'])}})
    model.fit(x_train, y_train,
              batch_size={{choice([64, 128])}},
              epochs=1,
              verbose=2,
              validation_data=(x_test, y_test))
    score, acc = model.evaluate(x_test, y_test, verbose=0)
    return {'loss': -acc, 'status': STATUS_OK, 'model': model}
