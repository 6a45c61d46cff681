"""FORMATS. Bytes in, values out: YAML, dotenv, variables, quantities, our schemas. Touches nothing else."""
