"""Train a small Keras network on scikit-learn's handwritten digits."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Two workers on a small machine: one thread each is faster than two that fight. Before TensorFlow is imported.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hpcho.keras import TrialCallback


def data():
    """1797 images of 8 x 8 pixels; loaded once per worker."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype("float32") / 16
    return train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)


def objective(params, data, trial):
    x_train, x_test, y_train, y_test = data
    keras.utils.set_random_seed(trial.tid)

    model = keras.Sequential([keras.Input(shape=(64,))])
    for _ in range(params["layers"]):
        model.add(keras.layers.Dense(params["units"], activation=params["activation"]))
        model.add(keras.layers.Dropout(params["dropout"]))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(optimizer=optimizer(params), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    history = model.fit(
        x_train,
        y_train,
        validation_data=(x_test, y_test),
        epochs=params["epochs"],
        batch_size=params["batch"],
        callbacks=[TrialCallback(trial)],  # reports val_loss after each epoch; saves and resumes the training
        verbose=0,
    )
    return {
        "loss": history.history["val_loss"][-1],
        "status": "ok",
        "val_accuracy": history.history["val_accuracy"][-1],
        "model": model,  # kept with the trial: `hpcho best --export` gives it back
    }


def optimizer(params):
    if params["optimizer"] == "sgd":
        return keras.optimizers.SGD(params["lr"], momentum=params["momentum"])
    return keras.optimizers.Adam(params["lr"])
