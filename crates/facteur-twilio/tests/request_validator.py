"""What Twilio's own validator says of webhooks: request_validator.py CASES.

CASES is a file of JSON lines: token, url, parameters (pairs) and a signature. For each line one is printed: the
signature that the library makes, and whether it takes the one that is there.
"""

import json
import sys

from twilio.request_validator import RequestValidator


class Parameters(dict):
    """Names with all of their values, as web frameworks hand them over."""

    def getall(self, name):
        return self[name]


def parameters(pairs):
    made = Parameters()
    for name, value in pairs:
        made.setdefault(name, []).append(value)
    return made


with open(sys.argv[1], encoding="utf-8") as cases:
    for line in cases:
        case = json.loads(line)
        validator = RequestValidator(case["token"])
        form = parameters(case["parameters"])
        signed = validator.compute_signature(case["url"], form)
        taken = bool(validator.validate(case["url"], form, case["signature"]))
        print(json.dumps({"signed": signed, "taken": taken}))
