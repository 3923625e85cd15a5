"""Problems, threads, forks."""
