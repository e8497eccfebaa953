"""Second opinions on manifests, read as JSON from standard input; the answer is JSON too.

json:    {schema, documents} -> what is wrong with each by that JSON Schema, null for nothing
schemas: [{version, object}] -> what the strict schemas of that Kubernetes say of each, null for nothing
policy:  {policy, objects}   -> the message of the first rule of the admission policy that denies each, null for none

No API server is involved: schemas know no rules across fields, and CEL is evaluated by another implementation.
"""

import json
import sys


def schemas(questions):
    import kubernetes_validate

    def judge(version, thing):
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as wrong:
            return f"{'.'.join(map(str, wrong.path))}: {wrong.message}"
        except kubernetes_validate.SchemaNotFoundError:
            return "no schema"
        return None

    return [judge(question["version"], question["object"]) for question in questions]


def by_schema(question):
    import jsonschema

    validator = jsonschema.Draft7Validator(question["schema"])

    def judge(document):
        wrong = next(iter(validator.iter_errors(document)), None)
        return wrong and f"{'.'.join(map(str, wrong.path))}: {wrong.message}"

    return [judge(document) for document in question["documents"]]


def policy(question):
    import celpy
    from celpy import celtypes

    environment = celpy.Environment()

    def compiled(expression):
        return environment.program(environment.compile(expression))

    spec = question["policy"]["spec"]
    conditions = [compiled(it["expression"]) for it in spec.get("matchConditions", [])]
    variables = [(it["name"], compiled(it["expression"])) for it in spec["variables"]]
    rules = [
        (compiled(it["expression"]), it.get("message"), "messageExpression" in it) for it in spec["validations"]
    ]

    def judge(thing):
        known = {"object": celpy.json_to_cel(thing), "variables": celtypes.MapType()}
        if not all(condition.evaluate(known) for condition in conditions):
            return None
        for name, program in variables:
            known["variables"][celtypes.StringType(name)] = program.evaluate(known)
        for program, message, computed in rules:
            if not program.evaluate(known):
                return "computed" if computed else message
        return None

    return [judge(thing) for thing in question["objects"]]


if __name__ == "__main__":
    answers = {"json": by_schema, "schemas": schemas, "policy": policy}[sys.argv[1]](json.load(sys.stdin))
    json.dump(answers, sys.stdout)
