"""Duplicates among more documents than fit any memory: arrays and paths in, arrays and files out.

    texts -> shingles -> minhash     what is compared: 64-bit hashes of word n-grams, their minima, bands and sketches
    signing -> array_file            what is stored of a group of documents, any slice of which can be read
    sorted_runs -> edges -> pairs    runs of hashes, read together by range: who shares one with whom
    components (union_find | stars)  who is connected, in memory or on disk
    choose                           which member of each cluster stays
    plan                             the S-curve and the resources, beforehand

`steps/dedup/` makes tasks of them.
"""
