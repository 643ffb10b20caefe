"""Where Hydra looks for plugins in every process: `/schema/package.Class` in a defaults list is diffusion's."""

from diffusion.config.schema_source import SchemaSearchPath, SchemaSource

__all__ = ["SchemaSearchPath", "SchemaSource"]
