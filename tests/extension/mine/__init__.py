"""A researcher's own package: each file is one idea, and each idea is one YAML in conf/."""
