"""What a lowering is (``contract``) and the one loop that uses them (``walk``). No framework in here."""
