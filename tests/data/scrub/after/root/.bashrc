stays: root/.bashrc
