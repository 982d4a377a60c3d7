stays: home/ann/.bashrc
