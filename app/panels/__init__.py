"""The parts a page is put together from; each draws one block and computes nothing."""
