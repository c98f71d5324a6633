"""Taking a cluster into the federation and out of it again.

    needed_kinds      a repository with the cluster that joins -> the kinds that it will get
    topology          the member's Nodes                       -> provider, region, zone
    rbac              the kinds in the repository              -> RBAC rules, no wider than needed
    member_objects    all that                                 -> the objects that the member gets
    credentials       a token, an endpoint                     -> the host's Secret, its renewal
    cluster_manifest                                           -> the Cluster manifest
    join, leave       a survey of both clusters                -> Steps
    execute           Steps                                    -> done, one after the other
    kubefed_import    a KubeFed host or its YAML               -> the files of a repository
    karmada_import    a Karmada API server or its YAML         -> the same

Every step is a value before anything is written, and can be repeated.
"""
