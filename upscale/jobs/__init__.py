"""Arguments -> plan -> files.

`plan.plan` settles everything before weights load: inputs, sizes, names, clashes, what may be overwritten.
`run.run` carries the plan out, file by file, and reports. Knows nothing of terminals or of making pixels.
"""
