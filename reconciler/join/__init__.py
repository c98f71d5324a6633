"""Taking a cluster into the federation and out of it again.

    understanding   a repository as it will be once the cluster has joined
    surroundings    the member's Nodes               -> provider, region, zone
    rights          the kinds in the repository      -> RBAC rules, no wider than needed
    member_objects  all that                         -> the objects that the member gets
    credentials     a token, an endpoint             -> the host's Secret, and its renewal
    cluster_manifest                                 -> the Cluster manifest in the repository
    joining         a survey of both clusters        -> Steps; carrying them out
    leaving         a survey of what join made       -> Steps; carrying them out
    kubefed_export  a KubeFed host or its YAML       -> the files of a repository

Every step is a value before anything is written, and can be repeated.
"""
