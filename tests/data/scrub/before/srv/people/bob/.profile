stays: srv/people/bob/.profile
