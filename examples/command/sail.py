"""How long a small boat takes over a mile downwind, for an angle, a sail trim and a number of crew.

A plain program without dependencies: it reads its parameters from the command line and prints the loss last.
"""

import argparse
import json
import math


def hours(angle, trim, crew):
    """Time over one mile straight downwind, sailed at ``angle`` degrees off the wind."""
    heading = math.radians(angle)
    best_trim = 0.5 - 0.5 * math.cos(heading)
    push = 8 * math.sin(heading / 2) ** 2 * math.exp(-8 * (trim - best_trim) ** 2)
    drag = 1 + 0.06 * (crew - 3) ** 2 + 0.5 * max(0.0, -math.cos(heading)) ** 8
    speed = push / drag
    towards_the_mark = -speed * math.cos(heading)
    if towards_the_mark <= 0.1:
        return None
    return 1 / towards_the_mark


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--angle", type=float, required=True)
    parser.add_argument("--trim", type=float, required=True)
    parser.add_argument("--crew", type=int, required=True)
    args = parser.parse_args()
    taken = hours(args.angle, args.trim, args.crew)
    print(f"angle {args.angle:.1f}, trim {args.trim:.2f}, crew {args.crew}")
    if taken is None:  # params that make no sense: the trial is done, without a loss
        print(json.dumps({"status": "fail"}))
    else:
        print(json.dumps({"loss": taken, "knots": 1 / taken}))


main()
