"""Writing a bundle: a range of the journal, for somebody who has nothing else.

docs/formats.md, "Bundle". ``disclosure`` says which records may leave, ``writer`` puts members into
the file, ``build`` goes through the journal. With the range go ``heads``, ``counter``, ``boots``
and their ``logs``.
"""
