"""Digits of MNIST: a file for hyperas, of the classic form. hpcho runs it as it is."""
import os
import tempfile

import keras
from hyperas import optim
from hyperas.distributions import choice, quniform, uniform
from hyperopt import STATUS_OK, Trials, tpe
from hyperopt.mongoexp import MongoTrials
from keras.datasets import mnist
from keras.layers import Activation, Dense, Dropout
from keras.models import Sequential
from keras.optimizers import RMSprop


def data():
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train = x_train.reshape(len(x_train), 784).astype("float32") / 255
    x_test = x_test.reshape(len(x_test), 784).astype("float32") / 255
    y_train = keras.utils.to_categorical(y_train, 10)
    y_test = keras.utils.to_categorical(y_test, 10)
    return x_train, y_train, x_test, y_test


def create_model(x_train, y_train, x_test, y_test):
    layer_1_size = {{quniform(12, 256, 4)}}
    l1_dropout = {{uniform(0.001, 0.7)}}

    model = Sequential()
    model.add(keras.Input(shape=(784,)))
    model.add(Dense(int(layer_1_size), activation={{choice(["relu", "tanh"])}}))
    model.add(Dropout(l1_dropout))
    if {{choice(["two", "three"])}} == "three":
        model.add(Dense({{choice([32, 64])}}))
        model.add({{choice([Dropout(0.5), Activation("linear")])}})
        model.add(Activation("relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile(
        loss="categorical_crossentropy",
        optimizer=RMSprop(learning_rate={{choice([0.001, 0.003])}}),
        metrics=["accuracy"],
    )
    model.fit(
        x_train,
        y_train,
        batch_size={{choice([64, 128])}},
        epochs=2,
        verbose=2,
        validation_data=(x_test, y_test),
    )
    score, acc = model.evaluate(x_test, y_test, verbose=0)
    print("Test accuracy:", acc)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        with open(path, "rb") as saved:
            model_bytes = saved.read()
    return {"loss": -acc, "score": score, "status": STATUS_OK, "model_serial": model_bytes}


if __name__ == "__main__":
    best_run, best_model = optim.minimize(
        model=create_model,
        data=data,
        algo=tpe.suggest,
        max_evals=10,
        trials=MongoTrials("mongo://localhost:27017/jobs/jobs", exp_key="mnist"),
        keep_temp=True,
    )
    print(best_run)
