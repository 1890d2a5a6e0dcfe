"""Lines of other systems' exports, read as customers: what a file says (mapping), its records (lines), one customer (reading).

Start with `mapping.py`. Nothing here seals, stores or decides; `operations/import_subjects.py` does.
"""
