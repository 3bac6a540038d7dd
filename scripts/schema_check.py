"""Holds TOML files against a JSON Schema with the Python package jsonschema.

    schema_check.py experiments/sweep.schema.json experiments/*.toml experiments/real/*.toml

Says every error with the key it is at; fails if there is one. Needs Python from 3.11 and jsonschema.
"""

import json
import sys
import tomllib

import jsonschema


def main():
    schema = json.load(open(sys.argv[1], encoding="utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    validator, wrong = kind(schema), 0
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            document = tomllib.load(file)
        for error in validator.iter_errors(document):
            print(f"{path}: {'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message}")
            wrong += 1
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
