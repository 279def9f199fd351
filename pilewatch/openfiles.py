"""How many files and connections this process may have open."""

import resource

_SPARE = 256


def allow_connections(wanted: int) -> None:
    """Raise this process's limit of open files. Raises `OSError` where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE
    if soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise OSError(
                f"{wanted} connections need {needed} open files, the limit is {hard}; "
                "raise it (ulimit -n) or use fewer connections"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
