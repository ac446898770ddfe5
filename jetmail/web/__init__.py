"""The portal: Klein routes, rendering, pages."""
