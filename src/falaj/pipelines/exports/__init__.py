"""Exports: a user's pipeline as Kubeflow Pipelines or Argo Workflows run it, each step in a container of its own.

`plan` says what both need, `kubeflow` and `argo` write it down, and `falaj.pipelines.container` is what runs there.
"""
