"""What both processes of a host are told about their cluster; the node adds what is its own."""
